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

describe('scripts/uninstall on a machine that runs', { concurrency: 2 }, () => {
  it('leaves nothing behind, and does nothing the second time', async () => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin
    // A volume that is staged only is in nobody's use.
    await plugin.publish('volume')
    assert.notDeepEqual(await traces(machine), NONE)
    const { status, stderr } = await machine.run(UNINSTALL)
    assert.equal(status, 0, stderr)
    assert.deepEqual(await traces(machine), NONE)
    const again = await machine.run(UNINSTALL)
    assert.deepEqual({ status: again.status, stderr: again.stderr }, { status: 0, stderr: '' })
  })

  for (const state of ['running', 'stopped'] as const) {
    it(`refuses while volumes are published and the plugin is ${state}, naming them and changing nothing`, async () => {
      await using plugin = await InstalledPlugin.start()
      const { machine } = plugin
      const [target = ''] = await plugin.publish('volume', 'pod')
      if (state === 'stopped') await machine.systemctl('stop', UNIT)
      else await eventually('the spare waits', async () => (await traces(machine)).processes?.includes('dummy-spare'))
      const before = await traces(machine)
      const { status, stderr } = await machine.run(UNINSTALL)
      assert.equal(status, 1)
      assert.match(stderr, /volumes are in use; unpublish them first, .*--force/)
      assert.ok(stderr.includes(`volume volume at ${target}\n`), stderr)
      assert.deepEqual(await traces(machine), before)
      if (state === 'running') assert.equal((await plugin.read(target)).stdout, 'Hello world!\n')
    })
  }

  it('refuses by the records and the mount table where the executable can tell nothing', async () => {
    await using plugin = await InstalledPlugin.start()
    const [target = ''] = await plugin.publish('volume', 'pod')
    await plugin.machine.output('rm', ['/usr/local/bin/dummy-fuse-csi'])
    const { status, stderr } = await plugin.machine.run(UNINSTALL)
    assert.equal(status, 1)
    assert.ok(stderr.includes(`volume volume at ${target}\n`), stderr)
    assert.ok(stderr.includes(`the mount at ${InstalledPlugin.stagingPath('volume')}\n`), stderr)
  })

  it('refuses while a dummy-fuse that was started by hand serves a mount', async () => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin
    await machine.output('mkdir', ['/mnt/by hand'])
    await machine.output('dummy-fuse', ['/mnt/by hand'])
    const refused = await machine.run(UNINSTALL)
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /a dummy-fuse mount at \/mnt\/by hand that the plugin does not know\n/)
    const forced = await machine.run(UNINSTALL, ['--force'])
    assert.equal(forced.status, 0, forced.stderr)
    assert.deepEqual(await traces(machine), NONE)
  })

  for (const host of ['child', 'detached'] as const) {
    it(`takes everything away with --force, though a file of a volume is open and --fuse-host is ${host}`, async () => {
      await using plugin = await InstalledPlugin.start(`--fuse-host ${host}`)
      const { machine } = plugin
      const [target = ''] = await plugin.publish('volume', 'one', 'two')
      const hold = `exec 3<${target}/dummy-file.txt && systemd-notify --ready && exec sleep infinity`
      await machine.output('systemd-run', [
        '--quiet',
        '--unit=holder',
        '--service-type=notify',
        '-pNotifyAccess=all',
        'sh',
        '-c',
        hold,
      ])
      const { status, stderr } = await machine.run(UNINSTALL, ['--force'])
      assert.equal(status, 0, stderr)
      assert.deepEqual(await traces(machine), NONE)
      assert.equal(await machine.property('holder', 'ActiveState'), 'active')
    })
  }

  it('ends a daemon that is stopped, and unmounts what hangs by it', async () => {
    await using plugin = await InstalledPlugin.start('--fuse-host detached')
    const { machine } = plugin
    await plugin.publish('volume', 'pod')
    const [daemon = 0] = await plugin.daemons()
    await machine.output('kill', ['-STOP', String(daemon)])
    const { status, stderr } = await machine.run(UNINSTALL, ['--force'])
    assert.equal(status, 0, stderr)
    assert.deepEqual(await traces(machine), NONE)
  })

  it('can be followed by an install, whose units systemd knows at once', async () => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin
    await machine.output(UNINSTALL)
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
})
