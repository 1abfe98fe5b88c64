import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'

const SOCKET = '/run/dummy-fuse-csi/csi.sock'

describe('dummy-fuse-csi.service', () => {
  it('serves, mounts its volumes again after a restart, and ends cleanly', async (t) => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin
    const targets = await plugin.publish('volume', 'one', 'two')
    const [target = ''] = targets
    const mounted = await plugin.mounts()
    assert.deepEqual(mounted, [...targets, InstalledPlugin.stagingPath('volume')].sort())

    await t.test('keeps its socket and its records from other users', async () => {
      const modes = await machine.output('stat', ['-c', '%a %U %n', SOCKET, '/run/dummy-fuse-csi', '/var/lib/dummy-fuse-csi'])
      assert.equal(modes, `600 root ${SOCKET}\n750 root /run/dummy-fuse-csi\n700 root /var/lib/dummy-fuse-csi`)
    })

    await t.test('mounts again what a restart has severed, with new daemons', async () => {
      const before = await plugin.daemons()
      await machine.systemctl('restart', UNIT)
      for (const each of targets) await plugin.restored(each)
      assert.deepEqual(await plugin.mounts(), mounted)
      const after = await plugin.daemons()
      assert.equal(after.length, 1)
      assert.notDeepEqual(after, before)
    })

    await t.test('ends cleanly when stopped: no socket, no daemon, and mounts that are dead but not unmounted', async () => {
      await machine.systemctl('stop', UNIT)
      assert.equal(await machine.property(UNIT, 'Result'), 'success')
      assert.equal(await machine.property(UNIT, 'ExecMainStatus'), '0')
      assert.equal((await machine.run('test', ['-e', '/run/dummy-fuse-csi'])).status, 1)
      assert.deepEqual(await plugin.daemons(), [])
      assert.deepEqual(await plugin.mounts(), mounted)
      for (const path of mounted) assert.match((await plugin.read(path)).stderr, /Transport endpoint is not connected/)
    })

    await t.test('is active when its socket answers, and says for how many volumes that take longer a call waits', async () => {
      plugin.setOptions('--inject mount-delay=15 --call-deadline 60')
      const script = `systemctl start --no-block ${UNIT}
        changes() {
          while [ "$now" != "$2" ]; do
            before=$now
            now=$(systemctl show --property "$1" --value ${UNIT})
            [ "$now" = "$before" ] || echo "$now"
            [ -z "$3" ] || sleep "$3"
          done
        }
        changes ActiveState active
        changes StatusText 'Serving on ${SOCKET}' 0.5
        cat ${target}/dummy-file.txt`
      const lines = (await machine.output('sh', ['-c', script])).split('\n').filter((line) => line !== 'inactive')
      assert.deepEqual(lines, [
        'activating',
        'active',
        `Serving on ${SOCKET}; 1 volumes are still being re-mounted`,
        `Serving on ${SOCKET}`,
        'Hello world!',
      ])
      assert.deepEqual(await plugin.call('csi.v1.Identity/Probe'), { ready: true })
      await plugin.unpublish('volume', 'one', 'two')
      assert.deepEqual(await plugin.mounts(), [])
    })

    await t.test('stays down where DUMMY_FUSE_CSI_OPTS has wrong words, and the journal has the line', async () => {
      plugin.setOptions('--no-such-option')
      assert.notEqual((await machine.run('systemctl', ['restart', UNIT])).status, 0)
      assert.equal(await machine.property(UNIT, 'ActiveState'), 'failed')
      assert.equal(await machine.property(UNIT, 'ExecMainStatus'), '2')
      assert.match(await machine.journal(UNIT), /unknown option '--no-such-option'/)
    })
  })
})
