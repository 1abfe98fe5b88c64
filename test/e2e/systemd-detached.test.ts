import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'
import { GREETING } from '../support/mounts.ts'
import { eventually } from '../support/wait.ts'

/** Ways for the plugin to end and another one to be there. */
const ENDS: Readonly<Record<string, (plugin: InstalledPlugin) => Promise<void>>> = {
  'a stop and a start': async ({ machine }) => {
    await machine.systemctl('stop', UNIT)
    await machine.systemctl('start', UNIT)
  },
  'a restart': async ({ machine }) => {
    await machine.systemctl('restart', UNIT)
  },
  'a crash': async (plugin) => {
    const before = await plugin.mainPid()
    await plugin.machine.output('kill', ['-9', String(before)])
    await eventually('another plugin is ready', async () => {
      const pid = await plugin.mainPid()
      return pid !== 0 && pid !== before && (await plugin.machine.property(UNIT, 'ActiveState')) === 'active'
    })
  },
}

describe('dummy-fuse-csi.service with --fuse-host detached', () => {
  it('has its daemons in units of their own, and knows them again', async (t) => {
    await using plugin = await InstalledPlugin.start('--fuse-host detached')
    const { machine } = plugin

    await t.test('has its daemons in units of their own, and a stop leaves them serving', async () => {
      const [target = ''] = await plugin.publish('volume', 'pod')
      const [daemon = 0] = await plugin.daemons()
      const cgroup = await machine.output('cat', [`/proc/${daemon}/cgroup`])
      assert.match(cgroup, /\.(scope|service)$/)
      assert.doesNotMatch(cgroup, /dummy-fuse-csi\.service/)
      await machine.systemctl('stop', UNIT)
      assert.deepEqual(await plugin.daemons(), [daemon])
      assert.equal((await plugin.read(target)).stdout, 'Hello world!\n')
      await machine.systemctl('start', UNIT)
      await plugin.unpublish('volume', 'pod')
      await eventually('the daemon has ended', async () => (await plugin.daemons()).length === 0)
    })

    for (const [at, [what, end]] of Object.entries(ENDS).entries()) {
      await t.test(`knows them again after ${what}, and ends them with their volume`, async () => {
        const consumer = `consumer-${at}`
        const [target = ''] = await plugin.publish('volume', 'pod')
        const mounted = await plugin.mounts()
        const [daemon = 0] = await plugin.daemons()
        // A consumer that has the file open all the while sees no failure.
        await machine.output('systemd-run', ['--quiet', `--unit=${consumer}`, '--', 'dummy-fuse-workload', ...workload(target)])
        await eventually('the consumer reads', async () => (await machine.journal(consumer)).includes('reading'))
        await end(plugin)

        const { volumes } = await plugin.status()
        assert.deepEqual(
          volumes.map(({ volumeId, state, daemon: known, targets }) => ({ volumeId, state, pid: known?.pid, targets })),
          [{ volumeId: 'volume', state: 'MOUNTED', pid: daemon, targets: [{ path: target, state: 'MOUNTED' }] }],
        )
        assert.deepEqual(await plugin.mounts(), mounted)
        assert.equal(await machine.property(consumer, 'ActiveState'), 'active')
        assert.doesNotMatch(await machine.journal(consumer), /read error/)
        await machine.systemctl('stop', consumer)

        await plugin.unpublish('volume', 'pod')
        assert.deepEqual(await plugin.mounts(), [])
        await eventually('the daemon has ended', async () => (await plugin.daemons()).length === 0)
        await eventually('the daemon has left no unit behind', async () => {
          const left = await machine.systemctl('list-units', '--all', '--plain', '--no-legend', '--full', '*fuse*')
          return !left.split('\n').some((line) => /dummy-fuse(?!d)/.test(line) && !line.startsWith(UNIT))
        })
      })
    }

    await t.test('has programs behind shields in scopes, which a restart with --fuse-host service leaves serving', async () => {
      for (const folder of ['srv/data', 'etc']) mkdirSync(join(machine.root, folder), { recursive: true })
      writeFileSync(join(machine.root, 'srv/data/dummy-file.txt'), GREETING)
      const file = { name: 'bindfs', command: ['bindfs', '-f', '/srv/data', '{target}'] }
      writeFileSync(join(machine.root, 'etc/bindfs.yaml'), JSON.stringify(file))
      plugin.setOptions('--fuse-host service --program /etc/bindfs.yaml')
      await machine.systemctl('restart', UNIT)
      const [target = ''] = await plugin.publish('volume', 'pod')
      const keep = async (): Promise<number> => (await plugin.status()).volumes[0]?.daemon?.pid ?? 0
      const first = await keep()
      assert.match(await machine.output('cat', [`/proc/${first}/cgroup`]), /\.scope$/)
      await machine.output('systemd-run', ['--quiet', '--unit=consumer', '--', 'dummy-fuse-workload', ...workload(target)])
      await eventually('the consumer reads', async () => (await machine.journal('consumer')).includes('reading'))
      await machine.systemctl('restart', UNIT)
      await machine.output('pkill', ['-9', '-x', 'bindfs'])
      assert.equal((await plugin.read(target)).stdout, GREETING)
      assert.equal(await keep(), first)
      assert.equal(await machine.property('consumer', 'ActiveState'), 'active')
      await machine.systemctl('stop', 'consumer')
      await plugin.unpublish('volume', 'pod')
      assert.equal((await machine.run('mountpoint', ['-q', InstalledPlugin.stagingPath('volume')])).status, 32)
      const isGone = async (): Promise<boolean> => (await machine.run('test', ['-e', `/proc/${first}`])).status === 1
      await eventually('its shield has ended', isGone)
    })
  })
})

function workload(target: string): string[] {
  return ['--file', `${target}/dummy-file.txt`, '--read-interval', '0.05', '--keep-open', '--exit-on-error']
}
