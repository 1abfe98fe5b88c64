import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventually } from '../support/wait.ts'
import { Cluster } from './support/cluster.ts'
import { type Component, Driver } from './support/driver.ts'
import { type Endings, killFirst, killNamed, outlive, remove, ROUNDS, tellReads } from './support/endings.ts'
import { ReaderPod } from './support/readers.ts'

const ENDINGS: Endings = {
  'kill -9 of dummy-fused': async (driver) => await killNamed(driver, 'dummy-fused'),
  'kill -9 of the standby': async (driver) => await killNamed(driver, 'dummy-standby'),
  'delete of the pod of dummy-fused': async (driver) => await remove(driver, ['fused']),
  'delete of the pod of the plugin': async (driver) => await remove(driver, ['plugin']),
  'delete of both pods at once': async (driver) => await remove(driver, ['fused', 'plugin']),
  'kill -9 of the first process of the container of dummy-fused': async (driver) => await killFirst(driver, 'fused', 'fused'),
  'forced delete of the pod of dummy-fused': async (driver) => await remove(driver, ['fused'], '--force', '--grace-period=0'),
  'kill -9 of the first process of the container of the standby': async (driver) => await killFirst(driver, 'plugin', 'standby'),
  'forced delete of the pod of the plugin': async (driver) => await remove(driver, ['plugin'], '--force', '--grace-period=0'),
  'kill -9 of the first process of the container of the plugin': async (driver) => await killFirst(driver, 'plugin', 'nodeplugin'),
  'rolling update of dummy-fused': async (driver) => await driver.restart('fused'),
  'rolling update of the plugin': async (driver) => await driver.restart('plugin'),
  'rolling update of both': async (driver) => await Promise.all([driver.restart('fused'), driver.restart('plugin')]),
  'the OOM killer in the container of dummy-fused': async (driver) => await runOutOfMemory(driver, 'fused', 'fused'),
  'delete of the pod of dummy-fused, after the OOM killer': async (driver) => await remove(driver, ['fused']),
  'the OOM killer in the container of the standby': async (driver) => await runOutOfMemory(driver, 'plugin', 'standby'),
  'delete of the pod of the plugin, after the OOM killer': async (driver) => await remove(driver, ['plugin']),
  'kill -9 of the kubelet': async ({ cluster }) => await cluster.killServer('kubelet'),
  'kill -9 of containerd': async ({ cluster }) => await cluster.killServer('containerd'),
}

/**
 * Lowers the memory limit of a container to what it uses and a little more, and has a process of its cgroup use that up. The programs of the container are
 * made the first that the OOM killer chooses.
 */
async function runOutOfMemory(driver: Driver, component: Component, container: string): Promise<void> {
  const { cluster } = driver
  const first = await cluster.processOf(await driver.pod(component), container)
  const script = `
    cgroup=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/${first}/cgroup)
    killed() { sed -n 's/^oom_kill //p' $cgroup/memory.oom_control; }
    before=$(killed)
    test -n "$before" || exit 1
    for pid in $(cat $cgroup/cgroup.procs); do echo 1000 > /proc/$pid/oom_score_adj; done
    echo $(($(cat $cgroup/memory.usage_in_bytes) + 16777216)) > $cgroup/memory.limit_in_bytes || exit 1
    (echo 0 > $cgroup/cgroup.procs; exec head -c 512m /dev/zero | exec tail) > /dev/null 2>&1
    echo -1 > $cgroup/memory.limit_in_bytes
    after=$(killed)
    # The kubelet removes the cgroup of a container that has ended, which may come first.
    echo $((\${after:-$((before + 1))} - before))`
  assert.notEqual((await cluster.enter('sh', '-c', script)).trim(), '0')
}

/** Resolves when one dummy-fused and one standby run, and the standby holds as many devices as there are sessions. */
async function settled(driver: Driver): Promise<void> {
  await driver.ready()
  const count = async (comm: string): Promise<string> => {
    const script = `for pid in $(pgrep -x ${comm}); do ls -l /proc/$pid/fd | grep -c '/fuse$'; done`
    return (await driver.cluster.enter('sh', '-c', `${script}; true`)).trim()
  }
  const both = async (): Promise<string> => `${await count('dummy-fused')} ${await count('dummy-standby')}`
  await eventually('dummy-fused serves, and the standby holds its device', async () => (await both()) === '1 1', 400_000)
}

/**
 * The kubelet gives containers two seconds when their pod is deleted by force, whatever their grace period is. A session outlives that if a new
 * container has its device by then, which the speed of the node decides. If not, the log says that the session is lost, and a new pod reads again. Resolves to the
 * number of rounds that lost it; the first such round is the last.
 */
async function forceDeleteBoth(driver: Driver, readers: ReaderPod): Promise<number> {
  const { cluster } = driver
  for (let round = 1; round <= ROUNDS; round++) {
    await remove(driver, ['fused', 'plugin'], '--force', '--grace-period=0')
    await driver.ready()
    const said = await eventually('dummy-fused serves', async () =>
      /Serving (\d+) sessions/.exec(await driver.log('fused', 'fused')),
    )
    if (said[1] === '1') {
      await settled(driver)
      await readers.readOn()
      assert.deepEqual(await readers.complaints(), [], `round ${round}`)
      continue
    }
    assert.match(await driver.log('fused', 'fused'), /the session of .* is lost: its descriptor was not kept/)
    await driver.deleteVolume('app=readers')
    await driver.createVolume()
    await ReaderPod.start(cluster)
    await driver.deleteVolume('app=readers')
    await driver.uninstall()
    return 1
  }
  return 0
}

describe('sessions of the host mode service', () => {
  it('outlive the pods of the driver: no read fails', { timeout: 3_600_000 }, async (t) => {
    await using cluster = await Cluster.start()
    const driver = new Driver(cluster)
    await driver.install('csi.plugin.fuseHost=service')
    await driver.createVolume()
    const readers = await ReaderPod.start(cluster)
    await settled(driver)
    await outlive(t, { endings: ENDINGS, driver, readers, settled })
    const lost = await forceDeleteBoth(driver, readers)
    t.diagnostic(`forced delete of both pods at once: ${lost} of ${ROUNDS} rounds lost the session`)
    if (lost > 0) return
    await tellReads(t, readers)
    await driver.deleteVolume('app=readers')
    await driver.uninstall()
  })
})
