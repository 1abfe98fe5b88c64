import assert from 'node:assert/strict'
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Fused, Session_State } from '../../src/rpc/fused_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { GREETING, layersAt, mount, mountAt, read, serves } from '../support/mounts.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { GRPCURL } from '../support/tools.ts'
import { eventually } from '../support/wait.ts'

const HOSTS = [
  { title: 'by itself', options: {}, keptBy: 'none' },
  { title: 'under keep', options: { keep: [] }, keptBy: 'keep' },
] as const

for (const { title, options, keptBy } of HOSTS) {
  describe(`dummy-fused ${title}`, () => {
    it('mounts, lists, inspects and unmounts sessions', async () => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, options)
      const [one, two] = [sandbox.directory('one'), sandbox.directory('two')]
      const first = await fused.mount(one)
      const second = await fused.mount(two, { options: ['allow_other', 'ro'] })
      assert.notEqual(first.id, second.id)
      assert.equal(first.path, one)
      assert.equal(first.state, Session_State.SERVED)
      assert.equal(mountAt(one).device, `0:${first.connection}`)
      assert.equal(mountAt(one).fsType, 'fuse.dummy-fuse')
      assert.ok(second.options.includes('allow_other'))
      assert.ok((await serves(sandbox, one)) && (await serves(sandbox, two)))
      const { daemon, sessions } = await fused.call(Fused.method.list)
      assert.deepEqual(
        [daemon?.pid, daemon?.keptBy, sessions.map(({ path }) => path).sort()],
        [fused.pid, keptBy, [one, two].sort()],
      )
      const only = await fused.call(Fused.method.list, { paths: [`${two}/`, join(sandbox.path, 'none')] })
      assert.deepEqual([only.daemon?.pid, only.sessions.map(({ path }) => path)], [fused.pid, [two]])
      assert.equal((await outcome(fused.call(Fused.method.list, { paths: [two, 'two'] }))).code, 'INVALID_ARGUMENT')
      const inspection = await fused.call(Fused.method.inspect, { path: one })
      assert.equal(inspection.session?.id, first.id)
      assert.ok((inspection.requests.READ ?? 0n) > 0n && inspection.requests.INIT === 1n)
      assert.equal(inspection.pending, 0n)
      assert.deepEqual(fused.records(), [`${first.id}.json`, `${second.id}.json`].sort())
      assert.equal(await fused.unmount(one), true)
      assert.deepEqual(layersAt(one), [])
      assert.equal(await fused.unmount(one), false)
      assert.equal((await outcome(fused.call(Fused.method.inspect, { path: one }))).code, 'NOT_FOUND')
      assert.deepEqual(await fused.paths(), [two])
      assert.ok(await serves(sandbox, two))
      const { status } = await fused.stop()
      assert.equal(status, 0, fused.log())
      assert.deepEqual([...sandbox.mounts(), ...fused.records(), ...sandbox.processes()], [])
      assert.ok(!existsSync(fused.socket))
    })

    it('has one session at a path, whoever mounts and unmounts there', async (t) => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, options)
      await t.test('answers the same call for what is mounted already with the session there is', async () => {
        const path = sandbox.directory('mnt')
        const first = await fused.mount(path, { options: ['noexec'] })
        const again = await fused.mount(path, { options: ['noexec'] })
        assert.deepEqual([again.id, again.connection], [first.id, first.connection])
        assert.equal(layersAt(path).length, 1)
        assert.equal(await fused.unmount(path), true)
      })

      await t.test('mounts once, however many ask for one path at once', async () => {
        const path = sandbox.directory('mnt')
        const sessions = await Promise.all(Array.from({ length: 20 }, async () => await fused.mount(path)))
        assert.equal(new Set(sessions.map(({ id }) => id)).size, 1)
        assert.equal(layersAt(path).length, 1)
        const gone = await Promise.all(Array.from({ length: 20 }, async () => await fused.unmount(path)))
        assert.equal(gone.filter(Boolean).length, 1)
        assert.deepEqual([...sandbox.mounts(), ...fused.records()], [])
      })

      await t.test('mounts and unmounts at one path, whatever comes first, without a second layer or a lost session', async () => {
        const path = sandbox.directory('mnt')
        const calls = Array.from({ length: 40 }, async (_, at) => {
          await (at % 2 === 0 ? fused.mount(path) : fused.unmount(path))
        })
        await Promise.all(calls)
        const mounted = await fused.paths()
        assert.deepEqual(
          layersAt(path).map(({ mountPoint }) => mountPoint),
          mounted,
        )
        assert.equal(fused.records().length, mounted.length)
        assert.equal(await fused.unmount(path), mounted.length > 0)
      })

      await t.test('mounts anew where somebody else has unmounted a session, which lives on for who still uses it', async () => {
        const path = sandbox.directory('mnt')
        const first = await fused.mount(path)
        // Lazily, and held by an open directory: the session itself goes on.
        const holder = sandbox.start('sh', ['-c', 'cd "$0" && echo in && exec sleep 600', path])
        await eventually('the holder is in', () => holder.output().includes('in'))
        assert.equal((await sandbox.run('umount', ['-l', path])).status, 0)
        const second = await fused.mount(path)
        assert.notEqual(second.id, first.id)
        assert.ok(await serves(sandbox, path))
        assert.deepEqual(await fused.paths(), [path, path])
        const { stdout } = await sandbox.run('cat', [`/proc/${holder.pid}/cwd/dummy-file.txt`])
        assert.equal(stdout, GREETING)
        holder.child.kill('SIGKILL')
        await eventually('the first session is forgotten', () => fused.records().length === 1)
        assert.deepEqual(await fused.paths(), [path])
        assert.deepEqual(fused.records(), [`${second.id}.json`])
        assert.ok(await serves(sandbox, path))
        assert.equal(await fused.unmount(path), true)
      })

      await t.test('forgets a session that somebody else has unmounted', async () => {
        const path = sandbox.directory('forgotten')
        await fused.mount(path)
        assert.equal((await sandbox.run('umount', [path])).status, 0)
        await fused.logged(`${path} was unmounted`)
        assert.deepEqual([...(await fused.paths()), ...fused.records()], [])
        assert.equal(await fused.unmount(path), false)
      })
    })
  })
}

describe('dummy-fused, asked for what it cannot do', () => {
  interface Case {
    readonly title: string
    readonly path: (sandbox: Sandbox) => string
    readonly options?: readonly string[]
    readonly faults?: readonly string[]
    readonly code: string
    readonly details: RegExp
  }
  const inside = (sandbox: Sandbox): string => sandbox.directory('mnt')
  const CASES: readonly Case[] = [
    { title: 'no path', path: () => '', code: 'INVALID_ARGUMENT', details: /path '' is not absolute/ },
    {
      title: 'a relative path',
      path: () => 'some/path',
      code: 'INVALID_ARGUMENT',
      details: /'some\/path' is not absolute; name one/,
    },
    { title: 'a path that holds a NUL', path: (at) => `${inside(at)}\0x`, code: 'INVALID_ARGUMENT', details: /NUL/ },
    {
      title: 'a directory that is not there',
      path: (at) => join(at.path, 'absent'),
      code: 'FAILED_PRECONDITION',
      details: /absent: no such directory; create it first/,
    },
    {
      title: 'a file',
      path: (at) => {
        writeFileSync(join(at.path, 'file'), '')
        return join(at.path, 'file')
      },
      code: 'FAILED_PRECONDITION',
      details: /file: not a directory/,
    },
    {
      title: 'a path below a file',
      path: (at) => {
        writeFileSync(join(at.path, 'file'), '')
        return join(at.path, 'file', 'below')
      },
      code: 'FAILED_PRECONDITION',
      details: /below/,
    },
    {
      title: 'a link to a directory',
      path: (at) => {
        symlinkSync(inside(at), join(at.path, 'link'))
        return join(at.path, 'link')
      },
      code: 'FAILED_PRECONDITION',
      details: /link: not a directory/,
    },
    {
      title: 'links that lead in a circle',
      path: (at) => {
        symlinkSync('loop', join(at.path, 'loop'))
        return join(at.path, 'loop', 'mnt')
      },
      code: 'FAILED_PRECONDITION',
      details: /loop/,
    },
    {
      title: 'a name of 256 bytes',
      path: (at) => join(at.path, 'n'.repeat(256)),
      code: 'FAILED_PRECONDITION',
      details: /file name too long/,
    },
    {
      title: 'a path of more than 4096 bytes',
      path: (at) => `${at.path}/${'x/'.repeat(2500)}mnt`,
      code: 'FAILED_PRECONDITION',
      details: /file name too long/,
    },
    {
      title: 'an option there is not',
      path: inside,
      options: ['nosuch'],
      code: 'INVALID_ARGUMENT',
      details: /unknown mount option 'nosuch'/,
    },
    {
      title: 'an option without its value',
      path: inside,
      options: ['max_read'],
      code: 'INVALID_ARGUMENT',
      details: /needs a value/,
    },
    { title: 'an empty option', path: inside, options: [''], code: 'INVALID_ARGUMENT', details: /unknown mount option ''/ },
    {
      title: 'a number that the kernel does not take',
      path: inside,
      options: ['max_read=4294967296'],
      code: 'INVALID_ARGUMENT',
      details: /'max_read' needs a value, a whole number from 0 to 4294967295/,
    },
    { title: 'a NUL', path: inside, options: ['fsname=a\0b'], code: 'INVALID_ARGUMENT', details: /'fsname' needs a value/ },
    { title: 'dummy-fuse’s debug', path: inside, options: ['debug'], code: 'INVALID_ARGUMENT', details: /'debug' is dummy-fuse's/ },
    { title: 'a fault there is not', path: inside, faults: ['fire'], code: 'INVALID_ARGUMENT', details: /unknown fault 'fire'/ },
    {
      title: 'a fault with a bad time',
      path: inside,
      faults: ['mount-delay=soon'],
      code: 'INVALID_ARGUMENT',
      details: /bad fault 'mount-delay=soon'/,
    },
    {
      title: 'a mount that fails',
      path: inside,
      faults: ['mount-fail'],
      code: 'INTERNAL',
      details: /mnt: mount failed, as --inject mount-fail asks/,
    },
  ]
  it('says what and why, mounts nothing, and goes on', async (t) => {
    await using common = new Sandbox()
    const fused = await FusedProcess.start(common)
    for (const { title, path, options = [], faults = [], code, details } of CASES) {
      await t.test(title, async () => {
        await using sandbox = new Sandbox()
        const failed = await outcome(fused.mount(path(sandbox), { options: [...options], faults: [...faults] }))
        assert.equal(failed.code, code, failed.details)
        assert.match(failed.details, details)
        assert.deepEqual([...sandbox.mounts(), ...fused.records(), ...(await fused.paths())], [])
        const good = sandbox.directory('good')
        await fused.mount(good)
        assert.ok(await serves(sandbox, good))
        await fused.unmount(good)
      })
    }
  })

  it('refuses other options or faults for what is mounted', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    const session = await fused.mount(path)
    for (const other of [{ options: ['ro'] }, { faults: ['read-delay=1'] }]) {
      const { code, details } = await outcome(fused.mount(path, other))
      assert.equal(code, 'ALREADY_EXISTS')
      assert.match(details, /is served with other options .*; unmount it first/)
    }
    assert.equal((await fused.mount(path)).id, session.id)
  })

  it('refuses a mount of another dummy-fuse and one of another dummy-fused, and leaves them alone', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const other = await FusedProcess.start(sandbox, { name: 'other' })
    const [one, two] = [sandbox.directory('one'), sandbox.directory('two')]
    assert.equal((await sandbox.run(DUMMY_FUSE, [one])).status, 0)
    await other.mount(two)
    for (const path of [one, two]) {
      const { code, details } = await outcome(fused.mount(path))
      assert.equal(code, 'FAILED_PRECONDITION')
      assert.match(details, /is a mount point of another dummy-fuse already; unmount that first/)
      assert.equal(await fused.unmount(path), false)
      assert.ok(await serves(sandbox, path))
      assert.equal(layersAt(path).length, 1)
    }
  })

  it('refuses a relative path and a NUL in every call', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    for (const path of ['mnt', '', '/mnt\0']) {
      const { mount: mounting, unmount, inspect } = Fused.method
      for (const call of [fused.call(mounting, { path }), fused.call(unmount, { path }), fused.call(inspect, { path })])
        assert.equal((await outcome(call)).code, 'INVALID_ARGUMENT')
    }
  })

  it('takes paths as long, odd and not-English as the kernel does', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const deep = join(sandbox.path, ...Array.from({ length: 15 }, () => 'd'.repeat(250)))
    const odd = [join(sandbox.path, 'a b\n\t\\c,d:e'), join(sandbox.path, 'Ünïcødé 日本'), deep]
    for (const path of odd) {
      mkdirSync(path, { recursive: true })
      await fused.mount(path)
      assert.equal((await read(sandbox, path)).stdout, 'Hello world!\n')
      assert.equal(await fused.unmount(path), true)
    }
    assert.deepEqual([...sandbox.mounts(), ...fused.records()], [])
  })

  it('knows a path however it is written', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    for (const written of [`${path}/`, `${sandbox.path}//mnt`, `${sandbox.path}/./mnt`, `${path}/../mnt`]) {
      const { id } = await fused.mount(written)
      assert.equal((await fused.mount(path)).id, id, written)
      assert.equal((await fused.call(Fused.method.inspect, { path: written })).session?.path, path)
      assert.equal(await fused.unmount(path), true, written)
      assert.deepEqual(sandbox.mounts(), [], written)
    }
  })

  it('mounts over a file system of another kind', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    mount('-t', 'tmpfs', 'none', path)
    await fused.mount(path)
    assert.ok(await serves(sandbox, path))
    assert.equal(await fused.unmount(path), true)
    assert.equal(mountAt(path).fsType, 'tmpfs')
  })
})

describe('dummy-fused, spoken to by grpcurl', () => {
  it('describes itself, and mounts and unmounts by hand', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    const grpcurl = async (args: readonly string[], request?: object): Promise<string> => {
      const data = request === undefined ? [] : ['-d', JSON.stringify(request)]
      const { status, stdout, stderr } = await sandbox.run(GRPCURL, [
        '-plaintext',
        '-unix',
        ...data,
        `unix://${fused.socket}`,
        ...args,
      ])
      assert.equal(status, 0, stderr)
      return stdout
    }
    assert.match(await grpcurl(['list']), /^dummyfuse\.fused\.v1\.Fused$/m)
    const mounted = JSON.parse(await grpcurl(['dummyfuse.fused.v1.Fused/Mount'], { path })) as object
    assert.deepEqual(Object.keys(mounted).sort(), ['daemon', 'session'])
    assert.ok(await serves(sandbox, path))
    const { requests } = JSON.parse(await grpcurl(['dummyfuse.fused.v1.Fused/Inspect'], { path })) as { requests: object }
    assert.ok('READ' in requests)
    assert.deepEqual(JSON.parse(await grpcurl(['dummyfuse.fused.v1.Fused/Unmount'], { path })), { wasMounted: true })
    assert.deepEqual(sandbox.mounts(), [])
  })
})
