import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventually } from '../support/wait.ts'
import { Cluster } from './support/cluster.ts'
import { type Component, Driver } from './support/driver.ts'
import { ReaderPod } from './support/readers.ts'

/** How often each way to end something is tried. */
const ROUNDS = Number(process.env.ROUNDS ?? 2)

/** dummy-fuse as a foreign program, which the image has: it knows nothing of its shield. */
const PROGRAM = { name: 'dummyfs', command: ['dummy-fuse', '-f', '{target}'], shield: { stableInodes: true } }

/** What ends, by name. Each resolves when that is done, not when all is well again. */
const EVENTS: Readonly<Record<string, (driver: Driver) => Promise<unknown>>> = {
  'kill -9 of the program': async (driver) => await killNamed(driver, 'dummy-fuse'),
  'kill -9 of the shield': async (driver) => await killNamed(driver, 'dummy-shield'),
  'kill -9 of the shield and its program': async (driver) => await killNamed(driver, 'dummy-shield', 'dummy-fuse'),
  'delete of the pod of the plugin': async (driver) => await remove(driver, ['plugin']),
  'delete of the pod of the holder': async (driver) => await remove(driver, ['holder']),
  'delete of both pods at once': async (driver) => await remove(driver, ['plugin', 'holder']),
  'kill -9 of the first process of the container of the plugin': async (driver) => await killFirst(driver, 'plugin', 'nodeplugin'),
  'forced delete of the pod of the plugin': async (driver) => await remove(driver, ['plugin'], '--force', '--grace-period=0'),
  'kill -9 of the first process of the container of the holder': async (driver) => await killFirst(driver, 'holder', 'holder'),
  'forced delete of the pod of the holder': async (driver) => await remove(driver, ['holder'], '--force', '--grace-period=0'),
  'rolling update of the plugin': async (driver) => await driver.restart('plugin'),
  'rolling update of the holder': async (driver) => await driver.restart('holder'),
  'rolling update of both': async (driver) => await Promise.all([driver.restart('plugin'), driver.restart('holder')]),
  'kill -9 of the kubelet': async ({ cluster }) => await cluster.killServer('kubelet'),
  'kill -9 of containerd': async ({ cluster }) => await cluster.killServer('containerd'),
}

async function killNamed({ cluster }: Driver, ...comms: readonly string[]): Promise<void> {
  await cluster.enter('sh', '-c', `kill -KILL ${comms.map((comm) => `$(pgrep -x ${comm})`).join(' ')}`)
}

async function killFirst(driver: Driver, component: Component, container: string): Promise<void> {
  const { cluster } = driver
  await cluster.enter('kill', '-KILL', String(await cluster.processOf(await driver.pod(component), container)))
}

async function remove({ cluster }: Driver, components: readonly Component[], ...options: readonly string[]): Promise<void> {
  const selector = `app.kubernetes.io/component in (${components.join(',')})`
  await cluster.kubectl('delete', 'pod', '--selector', selector, '--wait', '--timeout=120s', ...options)
}

/** Resolves when one shield and its program run, and the holder has their device. */
async function settled(driver: Driver): Promise<void> {
  await driver.ready()
  const script = `
    for comm in dummy-shield dummy-fuse dummy-holder; do pgrep -x $comm | wc -l; done
    for pid in $(pgrep -x dummy-holder); do ls -l /proc/$pid/fd | grep -c '/fuse$'; done; true`
  const found = async (): Promise<string> => (await driver.cluster.enter('sh', '-c', script)).trim().replace(/\s+/g, ' ')
  await eventually(
    'a shield, its program and the holder run, which has the device',
    async () => (await found()) === '1 1 1 1',
    400_000,
  )
}

describe('a program behind a shield, in pods', () => {
  it('outlives the pods of the driver: no read fails', { timeout: 3_600_000 }, async (t) => {
    await using cluster = await Cluster.start()
    const driver = new Driver(cluster)
    await driver.install('csi.plugin.fuseHost=service', `csi.plugin.program=${JSON.stringify(PROGRAM)}`)
    await driver.createVolume()
    const readers = await ReaderPod.start(cluster)
    await settled(driver)
    for (let round = 1; round <= ROUNDS; round++) {
      for (const [title, event] of Object.entries(EVENTS)) {
        await event(driver)
        await settled(driver)
        await readers.readOn()
        assert.deepEqual(await readers.complaints(), [], `round ${round}: ${title}`)
        t.diagnostic(`round ${round}: ${title}: no read failed`)
      }
    }
    const progress = await readers.progress()
    const total = progress.reduce((sum, { right }) => sum + right, 0)
    const longest = Math.max(...progress.map(({ longestStall }) => longestStall.ns)) / 1e6
    t.diagnostic(`${total} reads, none failed; the longest took ${longest.toFixed(1)} ms`)
    await driver.deleteVolume('app=readers')
    await driver.uninstall()
  })
})
