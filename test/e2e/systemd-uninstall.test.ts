import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'
import { CHECKOUT_INSIDE, type Machine } from '../support/nspawn.ts'
import { ROOT } from '../support/paths.ts'
import { eventually } from '../support/wait.ts'

const UNINSTALL = `${CHECKOUT_INSIDE}/scripts/uninstall`
const INSTALL = `${CHECKOUT_INSIDE}/scripts/install`

/** Everything on the machine that names us: files (but for the kubelet's), mounts, processes, units. */
async function traces(machine: Machine): Promise<Record<string, string[]>> {
  const lines = async (file: string, args: readonly string[]): Promise<string[]> =>
    (await machine.run(file, args)).stdout.split('\n').filter(Boolean)
  const elsewhere = [ROOT, '/var/tmp', '/var/lib/kubelet'].flatMap((path) => ['-path', path, '-prune', '-o'])
  const processes = (await lines('ps', ['-e', '-o', 'comm='])).filter((name) => /^dummy-(fuse|spare)/.test(name)).sort()
  return {
    files: await lines('find', [
      '/etc',
      '/usr/local',
      '/usr/sbin',
      '/var',
      '/run',
      '/tmp',
      ...elsewhere,
      '-name',
      '*dummy-fuse*',
      '-print',
    ]),
    mounts: await lines('findmnt', ['--types', 'fuse.dummy-fuse', '--noheadings', '--output', 'TARGET']),
    processes,
    units: await lines('systemctl', ['list-units', '--all', '--full', '--no-legend', '--plain', '*dummy*fuse*']),
    unitFiles: await lines('systemctl', ['list-unit-files', '--no-legend', '*dummy-fuse*']),
  }
}

const NONE = { files: [], mounts: [], processes: [], units: [], unitFiles: [] }

async function assertRemoves(machine: Machine, ...args: readonly string[]): Promise<void> {
  const { status, stderr } = await machine.run(UNINSTALL, args)
  assert.equal(status, 0, stderr)
  assert.deepEqual(await traces(machine), NONE)
}

/** Resolves to what it says. */
async function assertRefuses(machine: Machine): Promise<string> {
  const before = await traces(machine)
  const { status, stderr } = await machine.run(UNINSTALL)
  assert.equal(status, 1)
  assert.deepEqual(await traces(machine), before)
  return stderr
}

/** Has a process of another unit hold a volume's file open. */
async function holdOpen(machine: Machine, target: string): Promise<void> {
  const hold = `exec 3<${target}/dummy-file.txt && systemd-notify --ready && exec sleep infinity`
  const unit = ['--quiet', '--unit=holder', '--service-type=notify', '-pNotifyAccess=all']
  await machine.output('systemd-run', [...unit, 'sh', '-c', hold])
}

describe('scripts/uninstall on a machine that runs', { concurrency: 2 }, () => {
  it('leaves nothing behind of volumes that nobody uses, can be followed by an install, and tells a mount by hand', async (t) => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin

    await t.test('leaves nothing behind, and does nothing the second time', async () => {
      // A volume that is staged only is in nobody's use.
      await plugin.publish('volume')
      assert.notDeepEqual(await traces(machine), NONE)
      await assertRemoves(machine)
      const again = await machine.run(UNINSTALL)
      assert.deepEqual({ status: again.status, stderr: again.stderr }, { status: 0, stderr: '' })
    })

    await t.test('can be followed by an install, whose units systemd knows at once', async () => {
      assert.match((await machine.run(INSTALL)).stderr, /next: systemctl enable --now dummy-fuse-csi/)
      await machine.systemctl('start', UNIT)
      assert.deepEqual(await plugin.call('csi.v1.Identity/Probe'), { ready: true })
      assert.match(
        (await machine.run(INSTALL)).stderr,
        /kept \/etc\/default\/dummy-fuse-csi\n[^]*next: systemctl restart dummy-fuse-csi/,
      )
      await machine.systemctl('restart', UNIT)
      await eventually('it runs the new executable', async () => {
        const exe = await machine.output('readlink', [`/proc/${await plugin.mainPid()}/exe`])
        return exe === '/usr/local/bin/dummy-fuse-csi'
      })
    })

    await t.test('refuses while a dummy-fuse that was started by hand serves a mount', async () => {
      await machine.output('mkdir', ['/mnt/by hand'])
      await machine.output('dummy-fuse', ['/mnt/by hand'])
      const refused = await machine.run(UNINSTALL)
      assert.equal(refused.status, 1)
      assert.match(refused.stderr, /a dummy-fuse mount at \/mnt\/by hand that the plugin does not know\n/)
      await assertRemoves(machine, '--force')
    })
  })

  it('refuses while volumes are published, naming them and changing nothing, and takes all away with --force', async (t) => {
    await using plugin = await InstalledPlugin.start('--fuse-host child')
    const { machine } = plugin
    const [target = ''] = await plugin.publish('volume', 'one', 'two')

    await t.test('refuses while the plugin is running', async () => {
      await eventually('the spare waits', async () => (await traces(machine)).processes?.includes('dummy-spare'))
      const said = await assertRefuses(machine)
      assert.match(said, /volumes are in use; unpublish them first, .*--force/)
      assert.ok(said.includes(`volume volume at ${target}\n`), said)
      assert.equal((await plugin.read(target)).stdout, 'Hello world!\n')
    })

    await t.test('refuses while the plugin is stopped', async () => {
      await machine.systemctl('stop', UNIT)
      const said = await assertRefuses(machine)
      assert.match(said, /volumes are in use; unpublish them first, .*--force/)
      assert.ok(said.includes(`volume volume at ${target}\n`), said)
      await machine.systemctl('start', UNIT)
      await plugin.restored(target)
    })

    await t.test('refuses by the records and the mount table where the executable can tell nothing', async () => {
      const executable = '/usr/local/bin/dummy-fuse-csi'
      await machine.output('mv', [executable, '/var/tmp/executable'])
      const { status, stderr } = await machine.run(UNINSTALL)
      assert.equal(status, 1)
      assert.ok(stderr.includes(`volume volume at ${target}\n`), stderr)
      assert.ok(stderr.includes(`the mount at ${InstalledPlugin.stagingPath('volume')}\n`), stderr)
      await machine.output('mv', ['/var/tmp/executable', executable])
    })

    await t.test('takes everything away with --force, though a file of a volume is open', async () => {
      await holdOpen(machine, target)
      await assertRemoves(machine, '--force')
      assert.equal(await machine.property('holder', 'ActiveState'), 'active')
    })
  })

  it('takes detached daemons away with --force, though a file of a volume is open and a daemon is stopped', async () => {
    await using plugin = await InstalledPlugin.start('--fuse-host detached')
    const { machine } = plugin
    await plugin.publish('hung', 'pod')
    const [daemon = 0] = await plugin.daemons()
    const [target = ''] = await plugin.publish('volume', 'one', 'two')
    await holdOpen(machine, target)
    await machine.output('kill', ['-STOP', String(daemon)])
    await assertRemoves(machine, '--force')
    assert.equal(await machine.property('holder', 'ActiveState'), 'active')
  })
})
