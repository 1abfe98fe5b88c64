import { describe, it } from 'node:test'
import { eventually } from '../support/wait.ts'
import { Cluster } from './support/cluster.ts'
import { Driver } from './support/driver.ts'
import { type Endings, killFirst, killNamed, outlive, remove, tellReads } from './support/endings.ts'
import { ReaderPod } from './support/readers.ts'

/** dummy-fuse as a foreign program, which the image has: it knows nothing of its shield. */
const PROGRAM = { name: 'dummyfs', command: ['dummy-fuse', '-f', '{target}'], shield: { stableInodes: true } }

const ENDINGS: Endings = {
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
    await outlive(t, { endings: ENDINGS, driver, readers, settled })
    await tellReads(t, readers)
    await driver.deleteVolume('app=readers')
    await driver.uninstall()
  })
})
