import assert from 'node:assert/strict'
import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const INSTALL = join(ROOT, 'scripts/install')
const UNINSTALL = join(ROOT, 'scripts/uninstall')
const DEFAULTS = 'etc/default/dummy-fuse-csi'

/** Every path below a folder that is no directory, with its mode and, of a link, its target. */
function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory())
  return entries
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      const stats = lstatSync(path)
      const what = stats.isSymbolicLink() ? `-> ${readlinkSync(path)}` : (stats.mode & 0o7777).toString(8)
      return `${path.slice(folder.length + 1)} ${what}`
    })
    .sort()
}

const UNITS = readdirSync(join(ROOT, 'systemd')).filter((name) => /\.(service|socket)$/.test(name))
const PROGRAMS = readdirSync(dirname(EXECUTABLE), { withFileTypes: true })
  .filter((entry) => entry.isSymbolicLink())
  .map(({ name }) => name)
const INSTALLED = [
  'sbin/mount.fuse.dummy-fuse -> /usr/local/bin/dummy-fuse-csi',
  `${DEFAULTS} 644`,
  ...UNITS.map((name) => `etc/systemd/system/${name} 644`),
  'usr/local/bin/dummy-fuse-csi 755',
  ...PROGRAMS.map((name) => `usr/local/bin/${name} -> dummy-fuse-csi`),
].sort()

/** What a plugin leaves in its state folder for a volume that is published. */
function publishedRecord(root: string): void {
  const folder = join(root, 'var/lib/dummy-fuse-csi/mountcache/published')
  mkdirSync(folder, { recursive: true })
  const entry = {
    version: 1,
    kind: 'published',
    volumeId: 'a "quoted" volume',
    stagingPath: '/staging',
    targetPath: '/pods/1/mount',
  }
  writeFileSync(join(folder, 'entry'), `${JSON.stringify(entry)}\n`)
}

/** Runs a script of a copy of the checkout's scripts and units that anybody may read, as nobody if asked to. */
async function runCopy(sandbox: Sandbox, script: string, args: readonly string[], asNobody = false): Promise<Result> {
  const copy = join(sandbox.path, 'checkout')
  for (const folder of ['scripts', 'systemd']) cpSync(join(ROOT, folder), join(copy, folder), { recursive: true })
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups']
  await sandbox.run('chmod', ['-R', 'a+rX', sandbox.path])
  return await sandbox.run('setpriv', [...(asNobody ? nobody : []), join(copy, 'scripts', script), ...args])
}

describe('scripts/install --root', () => {
  it('puts the executable, its names, the units and the options file below the directory, and nothing else', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    const { status, stdout, stderr } = await sandbox.run(INSTALL, ['--root', root])
    assert.equal(status, 0, stderr)
    assert.equal(stdout, '')
    assert.deepEqual(filesBelow(root), INSTALLED)
    assert.ok(readFileSync(join(root, 'usr/local/bin/dummy-fuse-csi')).equals(readFileSync(EXECUTABLE)))
    const version = await sandbox.run(join(root, 'usr/local/bin/dummy-fuse-workload'), ['--version'])
    assert.match(version.stdout, /^dummy-fuse-workload /)
  })

  it('keeps an options file that is there, and says so', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    writeFileSync(join(sandbox.directory('image/etc/default'), 'dummy-fuse-csi'), 'mine\n')
    const { status, stderr } = await sandbox.run(INSTALL, [`--root=${root}`])
    assert.equal(status, 0, stderr)
    assert.match(stderr, /kept .*\/etc\/default\/dummy-fuse-csi/)
    assert.equal(readFileSync(join(root, DEFAULTS), 'utf8'), 'mine\n')
  })

  it('replaces an executable that is running, which goes on', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    const workload = join(root, 'usr/local/bin/dummy-fuse-workload')
    assert.equal((await sandbox.run(INSTALL, ['--root', root])).status, 0)
    const file = join(sandbox.path, 'file')
    writeFileSync(file, 'text\n')
    const running = sandbox.start(workload, ['--file', file, '--read-interval', '0.05'])
    await eventually('the workload reads', () => running.output().includes('reading'))
    const before = statSync(workload).ino

    const { status, stderr } = await sandbox.run(INSTALL, ['--root', root])
    assert.equal(status, 0, stderr)
    assert.notEqual(statSync(workload).ino, before)
    assert.match(readlinkSync(`/proc/${running.pid}/exe`), /dummy-fuse-csi \(deleted\)$/)
    const said = running.output().length
    await eventually('the running workload goes on', () => running.output().length > said)
    assert.deepEqual(filesBelow(root), INSTALLED)
  })

  it('says how to build where nothing is built, and installs nothing', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    const { status, stderr } = await runCopy(sandbox, 'install', ['--root', root])
    assert.equal(status, 1)
    assert.match(stderr, /^install: \S+\/dist\/dummy-fuse-csi is missing; build it first \(.*scripts\/demo.*node build\.mjs.*\)\n$/)
    assert.deepEqual(filesBelow(root), [])
  })
})

describe('scripts/uninstall --root', () => {
  it('takes away what was installed, enabled and recorded, leaves what is not ours, and does nothing the second time', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    const foreign = [
      'usr/local/bin/other',
      'etc/systemd/system/other.service',
      'etc/systemd/system/multi-user.target.wants/other.service',
    ]
    for (const path of foreign) {
      sandbox.directory('image', dirname(path))
      writeFileSync(join(root, path), '')
    }
    const before = filesBelow(root)
    assert.equal((await sandbox.run(INSTALL, ['--root', root])).status, 0)
    const wants = join(root, 'etc/systemd/system/multi-user.target.wants')
    symlinkSync('/etc/systemd/system/dummy-fuse-csi.service', join(wants, 'dummy-fuse-csi.service'))
    symlinkSync('/etc/systemd/system/dummy-fuse-workload@.service', join(wants, 'dummy-fuse-workload@mnt-file.service'))
    sandbox.directory('image/var/lib/dummy-fuse-csi/mountcache/published')
    sandbox.directory('image/run/dummy-fuse-csi')

    const { status, stderr } = await sandbox.run(UNINSTALL, ['--root', root])
    assert.equal(status, 0, stderr)
    assert.deepEqual(filesBelow(root), before)
    assert.deepEqual(readdirSync(join(root, 'var/lib')), [])
    assert.deepEqual(readdirSync(join(root, 'run')), [])
    const again = await sandbox.run(UNINSTALL, ['--root', root])
    assert.deepEqual({ status: again.status, stderr: again.stderr }, { status: 0, stderr: '' })
  })

  it('refuses while a volume is recorded as published, naming it, and does it with --force', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    assert.equal((await sandbox.run(INSTALL, ['--root', root])).status, 0)
    publishedRecord(root)
    const refused = await sandbox.run(UNINSTALL, ['--root', root])
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /volumes are in use.*--force/)
    assert.match(refused.stderr, /volume a \\"quoted\\" volume at \/pods\/1\/mount\n/)
    assert.equal(filesBelow(root).length, INSTALLED.length + 1)

    const forced = await sandbox.run(UNINSTALL, ['--root', root, '--force'])
    assert.equal(forced.status, 0, forced.stderr)
    assert.deepEqual(filesBelow(root), [])
  })

  it('prints the options of a changed options file before it removes it', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    assert.equal((await sandbox.run(INSTALL, ['--root', root])).status, 0)
    writeFileSync(join(root, DEFAULTS), '# mine\nDUMMY_FUSE_CSI_OPTS="--nodeid here"\n')
    const { status, stderr } = await sandbox.run(UNINSTALL, ['--root', root])
    assert.equal(status, 0, stderr)
    assert.match(stderr, /was changed; it said:\nDUMMY_FUSE_CSI_OPTS="--nodeid here"\n/)
    assert.deepEqual(filesBelow(root), [])
  })

  it('leaves a state folder that somebody chose, but for the mount cache in it', async () => {
    await using sandbox = new Sandbox()
    const root = sandbox.directory('image')
    assert.equal((await sandbox.run(INSTALL, ['--root', root])).status, 0)
    writeFileSync(join(root, DEFAULTS), 'DUMMY_FUSE_CSI_OPTS="--role node --state-dir /srv/chosen"\n')
    sandbox.directory('image/srv/chosen/mountcache/staged')
    writeFileSync(join(root, 'srv/chosen/other'), '')
    const { status, stderr } = await sandbox.run(UNINSTALL, ['--root', root])
    assert.equal(status, 0, stderr)
    assert.match(stderr, /left the rest of \S+\/srv\/chosen/)
    assert.deepEqual(filesBelow(root), ['srv/chosen/other 644'])
  })
})

describe('the args of scripts/install and scripts/uninstall', () => {
  const cases: readonly { args: readonly string[]; script: 'install' | 'uninstall'; status: number; says: RegExp }[] = [
    { script: 'install', args: ['--rot', '/x'], status: 2, says: /unknown argument '--rot' \(see install --help\)/ },
    { script: 'install', args: ['--root'], status: 2, says: /--root needs a directory/ },
    { script: 'install', args: ['--root', '/nonexistent'], status: 1, says: /\/nonexistent: no such directory; create it first/ },
    { script: 'install', args: ['--force'], status: 2, says: /unknown option '--force'/ },
    { script: 'uninstall', args: ['now'], status: 2, says: /unknown argument 'now' \(see uninstall --help\)/ },
    { script: 'uninstall', args: ['--root', '/nonexistent'], status: 1, says: /\/nonexistent: no such directory/ },
  ]
  for (const { script, args, status, says } of cases) {
    it(`${script} ${args.join(' ')} ends with ${status} and one line`, async () => {
      await using sandbox = new Sandbox()
      const result = await sandbox.run(join(ROOT, 'scripts', script), args)
      assert.equal(result.status, status)
      assert.match(result.stderr, says)
      assert.match(result.stderr, /^[^\n]+\n$/)
    })
  }

  for (const script of ['install', 'uninstall']) {
    it(`${script} wants to be root where it changes the machine`, async () => {
      await using sandbox = new Sandbox()
      const { status, stderr } = await runCopy(sandbox, script, [], true)
      assert.equal(status, 1)
      assert.match(stderr, /it changes the machine; run it as root \(sudo [^)]+\)\n$/)
    })

    it(`${script} --help tells its args and exit statuses`, async () => {
      await using sandbox = new Sandbox()
      const { status, stdout } = await sandbox.run(join(ROOT, 'scripts', script), ['--help'])
      assert.equal(status, 0)
      assert.match(stdout, /--root DIR[^]*Exit status: 0/)
    })
  }
})
