import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { deviceFolder, withDevices } from '../support/devices.ts'
import { deadMount, hungMount, mountDummyFuse } from '../support/mounting.ts'
import { DIST, DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

interface Refusal {
  /** Makes what stands in the way, and gives the mount point to call dummy-fuse with. */
  readonly prepare: (sandbox: Sandbox) => string | Promise<string>
  readonly status: number
  /** What to do, or what is wrong, in the line that must also name the path. */
  readonly advice: RegExp
  readonly args?: readonly string[]
}

const REFUSALS: Readonly<Record<string, Refusal>> = {
  'that is missing': {
    prepare: (sandbox) => `${sandbox.path}/a/b`,
    status: 3,
    advice: /create it first \(mkdir -p .*\/a\/b\)/,
  },
  'that is a link to nothing': {
    prepare: (sandbox) => linked(sandbox, 'missing'),
    status: 3,
    advice: /create it first \(mkdir -p .*\/missing\)/,
  },
  'that is a link to itself': { prepare: (sandbox) => linked(sandbox, 'link'), status: 3, advice: /too many levels/ },
  'below a link to itself': { prepare: (sandbox) => `${linked(sandbox, 'link')}/sub`, status: 3, advice: /too many levels/ },
  'of a name too long': { prepare: (sandbox) => `${sandbox.path}/${'x'.repeat(256)}`, status: 3, advice: /name too long/ },
  'that is a file': {
    prepare: (sandbox) => written(sandbox, 'file'),
    status: 4,
    advice: /not a directory; name an empty directory/,
  },
  'that is a link to a file': {
    prepare: (sandbox) => {
      written(sandbox, 'file')
      return linked(sandbox, 'file')
    },
    status: 4,
    advice: /not a directory/,
  },
  'below a file': { prepare: (sandbox) => `${written(sandbox, 'file')}/sub`, status: 4, advice: /not a directory/ },
  'that is a file mounted on a file': {
    prepare: async (sandbox) => {
      const path = written(sandbox, 'file')
      await sandbox.run('mount', ['--bind', path, path])
      return path
    },
    status: 4,
    advice: /not a directory/,
  },
  'that is not empty': {
    prepare: (sandbox) => {
      const path = sandbox.directory('mnt')
      writeFileSync(`${path}/.hidden`, '')
      return path
    },
    status: 5,
    advice: /not empty; .*-o nonempty/,
  },
  'where dummy-fuse is mounted already': {
    prepare: (sandbox) => mountDummyFuse(sandbox),
    status: 6,
    advice: /already mounted by dummy-fuse; umount .*\/mnt first/,
  },
  'where dummy-fuse is mounted already, with -o nonempty': {
    prepare: (sandbox) => mountDummyFuse(sandbox),
    status: 6,
    advice: /already mounted/,
    args: ['-o', 'nonempty'],
  },
  'that is a link to a mount of dummy-fuse': {
    prepare: async (sandbox) => {
      await mountDummyFuse(sandbox)
      return linked(sandbox, 'mnt')
    },
    status: 6,
    advice: /already mounted/,
  },
  'where a dead mount is': {
    prepare: (sandbox) => deadMount(sandbox),
    status: 7,
    advice: /a dead fuse.dummy-fuse mount .*\(umount .*\/mnt\)/,
  },
  'that is a link to a dead mount': {
    prepare: async (sandbox) => {
      await deadMount(sandbox)
      return linked(sandbox, 'mnt')
    },
    status: 7,
    advice: /a dead fuse.dummy-fuse mount .*\(umount .*\/mnt\)/,
  },
  'inside a dead mount': {
    prepare: async (sandbox) => `${await deadMount(sandbox)}/sub`,
    status: 7,
    advice: /a dead fuse.dummy-fuse mount is at .*\(umount .*\/mnt\)/,
  },
  'where a hung mount is': {
    prepare: (sandbox) => hungMount(sandbox),
    status: 7,
    advice: /a hung fuse.dummy-fuse mount .*umount -l .*\/mnt/,
  },
  'that is a link to a hung mount': {
    prepare: async (sandbox) => {
      await hungMount(sandbox)
      return linked(sandbox, 'mnt')
    },
    status: 7,
    advice: /a hung fuse.dummy-fuse mount .*umount -l .*\/mnt/,
  },
  'inside a hung mount, behind a link': {
    prepare: async (sandbox) => {
      await hungMount(sandbox)
      return `${linked(sandbox, 'mnt')}/sub`
    },
    status: 7,
    advice: /a hung fuse.dummy-fuse mount is at .*umount -l .*\/mnt/,
  },
  'with a line feed in its name': { prepare: (sandbox) => `${sandbox.path}/a\nb`, status: 3, advice: /create it first/ },
  'whose path is too long for libfuse': {
    prepare: (sandbox) => sandbox.directory(...Array<string>(5).fill('x'.repeat(250))),
    args: ['--backend', 'fuse-native'],
    status: 11,
    advice: /longer than the 1023 bytes/,
  },
}

function linked(sandbox: Sandbox, target: string): string {
  const link = `${sandbox.path}/link`
  symlinkSync(target, link)
  return link
}

function written(sandbox: Sandbox, name: string): string {
  writeFileSync(`${sandbox.path}/${name}`, 'something')
  return `${sandbox.path}/${name}`
}

describe('dummy-fuse refuses a mount point', () => {
  for (const [title, { prepare, status, advice, args = [] }] of Object.entries(REFUSALS)) {
    it(`${title} with ${status} and one line, in the background as in the foreground`, async () => {
      await using sandbox = new Sandbox()
      const path = await prepare(sandbox)
      const before = sandbox.mounts()
      for (const mode of [[], ['-f']]) {
        const result = await sandbox.run(DUMMY_FUSE, [...mode, ...args, path])
        assert.equal(result.status, status, result.stderr)
        assert.match(result.stderr, /^dummy-fuse: [^\n]+\n$/)
        assert.match(result.stderr, advice)
        assert.ok(result.stderr.includes(sandbox.path), result.stderr)
        assert.equal(result.stdout, '')
      }
      assert.deepEqual(sandbox.mounts(), before)
    })
  }
})

describe('dummy-fuse needs', () => {
  it('root: 9 for anybody else', async () => {
    await using sandbox = new Sandbox()
    // The checkout may lie where nobody may look.
    const script = `mkdir "$1/bin" && mount --bind "$2" "$1/bin" && chmod 755 "$1" && cd / &&
      exec setpriv --reuid=65534 --regid=65534 --clear-groups "$1/bin/dummy-fuse" "$1"`
    const { status, stderr } = await sandbox.run('unshare', ['--mount', 'sh', '-c', script, 'sh', sandbox.path, DIST])
    assert.deepEqual([status, stderr], [9, 'dummy-fuse: mounting needs root; run it as root (sudo dummy-fuse ...)\n'])
  })

  it('the capability to mount: 9 for a root without it', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const drop = ['--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--']
    const { status, stderr } = await sandbox.run('setpriv', [...drop, DUMMY_FUSE, path])
    assert.equal(status, 9, stderr)
    assert.match(stderr, /^dummy-fuse: mounting needs the capability CAP_SYS_ADMIN; [^\n]+\n$/)
  })

  it('/dev/fuse: 8 when there is none', async () => {
    await using sandbox = new Sandbox()
    const [file, args] = withDevices(await deviceFolder(sandbox, 'null'), [DUMMY_FUSE, sandbox.directory('mnt')])
    const { status, stderr } = await sandbox.run(file, args)
    assert.equal(status, 8, stderr)
    assert.match(stderr, /^dummy-fuse: cannot use \/dev\/fuse: no such file or directory; run 'modprobe fuse'[^\n]+\n$/)
  })

  it('/dev/fuse: 8 when opening it is forbidden', async () => {
    await using sandbox = new Sandbox()
    const dev = await deviceFolder(sandbox, 'fuse')
    writeFileSync(`${dev}/null`, '')
    const [file, args] = withDevices(dev, [DUMMY_FUSE, '-f', sandbox.directory('mnt')], 'nodev')
    const { status, stderr } = await sandbox.run(file, args)
    assert.equal(status, 8, stderr)
    assert.match(stderr, /^dummy-fuse: cannot use \/dev\/fuse: permission denied; make it readable [^\n]+\n$/)
  })

  it('/dev/fuse: 8 when it is something else', async () => {
    await using sandbox = new Sandbox()
    const dev = await deviceFolder(sandbox, 'null')
    writeFileSync(`${dev}/fuse`, '')
    const [file, args] = withDevices(dev, [DUMMY_FUSE, sandbox.directory('mnt')])
    const { status, stderr } = await sandbox.run(file, args)
    assert.equal(status, 8, stderr)
    assert.match(stderr, /^dummy-fuse: cannot use \/dev\/fuse: it is not the FUSE device; [^\n]+\n$/)
  })
})

/** Makes a directory to mount on; gives how it is named on the command line and where the mount then is. */
type Naming = (sandbox: Sandbox) => readonly [named: string, path: string]

const plain =
  (name: string): Naming =>
  (sandbox) => {
    const path = sandbox.directory(name)
    return [path, path]
  }

const NAMINGS: Readonly<Record<string, Naming>> = {
  'with spaces': plain('a mount point'),
  'with a line feed, a tab and a backslash': plain('a\nb\tc\\d\\040e'),
  'in Unicode': plain('Einhängepunkt-挂载点-🦆'),
  'with quotes and other characters of the shell': plain(`it's "$(here)";#*`),
  'with a comma and an equals sign': plain('a,b=c'),
  'of 255 bytes': plain('x'.repeat(255)),
  'that begins with a dash, after --': (sandbox) => ['-f', sandbox.directory('-f')],
  'with slashes at its end and doubled': (sandbox) => [
    `${sandbox.directory('mnt').replaceAll('/', '//')}///`,
    `${sandbox.path}/mnt`,
  ],
  'with . and ..': (sandbox) => [`${sandbox.directory('mnt')}/../mnt/.`, `${sandbox.path}/mnt`],
  'that is relative': (sandbox) => ['./mnt', sandbox.directory('mnt')],
  'that is the working directory': (sandbox) => [`../${sandbox.path.split('/').at(-1) ?? ''}/mnt`, sandbox.directory('mnt')],
  'that is a symbolic link': (sandbox) => [linked(sandbox, 'mnt'), sandbox.directory('mnt')],
  'behind a chain of links': (sandbox) => {
    const path = sandbox.directory('there', 'mnt')
    symlinkSync('there', `${sandbox.path}/second`)
    symlinkSync(`${sandbox.path}/second/../second/mnt`, `${sandbox.path}/first`)
    return [`${sandbox.path}/first`, path]
  },
  'of a directory without permissions': (sandbox) => {
    const path = `${sandbox.path}/mnt`
    mkdirSync(path, 0)
    return [path, path]
  },
}

describe('dummy-fuse serves a mount point', () => {
  for (const [title, naming] of Object.entries(NAMINGS)) {
    it(title, async () => {
      await using sandbox = new Sandbox()
      const [named, path] = naming(sandbox)
      const { status, stderr } = await sandbox.run(DUMMY_FUSE, ['--', named], { cwd: sandbox.path })
      assert.equal(status, 0, stderr)
      assert.deepEqual(sandbox.mounts(), [path])
      assert.equal((await sandbox.run('cat', [`${path}/dummy-file.txt`])).stdout, 'Hello world!\n')
      assert.equal((await sandbox.run('umount', [path])).status, 0)
    })
  }

  it('that is the root of another mount, and leaves that one', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', path])
    await mountDummyFuse(sandbox)
    assert.deepEqual(sandbox.mounts(), [path, path])
    await sandbox.run('umount', [path])
    await eventually('the daemon has ended', () => sandbox.processes('dummy-fuse').length === 0)
    assert.deepEqual(sandbox.mounts(), [path])
  })

  it('that is not empty with -o nonempty, and gives what was there back at the end', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    writeFileSync(`${path}/precious`, '')
    await mountDummyFuse(sandbox, ['-o', 'nonempty'])
    assert.equal((await sandbox.run('ls', [path])).stdout, 'dummy-file.txt\n')
    await sandbox.run('umount', [path])
    assert.equal((await sandbox.run('ls', [path])).stdout, 'precious\n')
  })

  it('whose own mount lies hidden under one on a directory above it', async () => {
    await using sandbox = new Sandbox()
    await mountDummyFuse(sandbox, [], 'above/mnt')
    await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', `${sandbox.path}/above`])
    const path = await mountDummyFuse(sandbox, [], 'above/mnt')
    assert.deepEqual(sandbox.mounts(), [path, `${sandbox.path}/above`, path])
  })

  it('by its full path only when the working directory is gone', async () => {
    await using sandbox = new Sandbox()
    const script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" fuse mnt'
    const { status, stderr } = await sandbox.run('sh', ['-c', script, EXECUTABLE], { cwd: sandbox.path })
    assert.deepEqual([status, stderr], [2, 'dummy-fuse: mnt: the working directory is gone; name the full path\n'])
  })
})
