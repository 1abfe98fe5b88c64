import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { DUMMY_FUSED, FusedProcess } from '../support/fused.ts'
import { childrenOf } from '../support/kept.ts'
import { layersAt, mount, read, serves } from '../support/mounts.ts'
import { endOf } from '../support/mounting.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const HOSTS = [
  { title: 'by itself', options: {} },
  { title: 'under keep', options: { keep: [] } },
] as const

/**
 * Programs that use the volume of their first argument, and none of the others; `dead`: the volume's path has the dead mount afterwards, and
 * not that of another mount namespace alone.
 */
const USERS = [
  {
    how: 'an open file',
    args: [
      'python3',
      '-c',
      'import sys; f = open(sys.argv[1] + "/dummy-file.txt", "rb", 0); print("in", flush=True); sys.stdin.read()',
    ],
    dead: true,
  },
  { how: 'a working directory', args: ['sh', '-c', 'cd "$0" && echo in && exec cat'], dead: true },
  {
    how: 'another mount namespace',
    args: ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'umount "$@" && echo in && exec cat'],
    dead: false,
  },
] as const

/** Whether a process waits for a lock of flock(2) that another has (proc_locks(5)). */
function waitsForFlock(pid: number): boolean {
  return new RegExp(`-> FLOCK +\\S+ +\\S+ +${pid} `).test(readFileSync('/proc/locks', 'utf8'))
}

describe('dummy-fused, stopped for good', () => {
  for (const { title, options } of HOSTS) {
    it(`unmounts what nobody uses, binds of it too, and leaves nothing: ${title}`, async () => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, options)
      const paths = ['one', 'two', 'three'].map((name) => sandbox.directory(name))
      for (const path of paths) await fused.mount(path)
      const target = sandbox.directory('target')
      mount('--bind', paths[0] ?? '', target)
      const { status } = await fused.stop()
      assert.equal(status, 0, fused.log())
      for (const path of [...paths, target]) assert.match(fused.log(), new RegExp(`unmounted ${path}$`, 'm'))
      assert.doesNotMatch(fused.log(), /in use/)
      assert.deepEqual([...sandbox.mounts(), ...fused.records(), ...sandbox.processes()], [])
    })

    it(`says of each session in use that it gets ENOTCONN, and unmounts the others: ${title}`, async () => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, options)
      const other = sandbox.directory('other')
      const used = USERS.map((_, at) => sandbox.directory(`used-${at}`))
      for (const path of [other, ...used]) await fused.mount(path)
      const users = USERS.map(({ args: [file, ...rest] }, at) => {
        const own = used[at] ?? ''
        return sandbox.start(file, [...rest, own, ...[other, ...used].filter((path) => path !== own)])
      })
      for (const [at, user] of users.entries()) {
        await eventually(`${USERS[at]?.how ?? ''} uses it`, () => user.output().includes('in\n'))
      }
      const { status } = await fused.stop()
      assert.equal(status, 0, fused.log())
      const lines = fused
        .log()
        .split('\n')
        .filter((line) => line.includes('in use'))
      assert.equal(lines.length, USERS.length, fused.log())
      for (const [at, { how, dead }] of USERS.entries()) {
        const said = new RegExp(`${used[at]} is in use and gets ENOTCONN from now on: .*restart its consumers`)
        assert.equal(lines.filter((line) => said.test(line)).length, 1, `${how}: ${fused.log()}`)
        if (dead) assert.match((await read(sandbox, used[at] ?? '')).stderr, /Transport endpoint is not connected/, how)
      }
      assert.deepEqual(layersAt(other), [])
      assert.deepEqual(fused.records(), [])
      for (const user of users) {
        user.child.kill('SIGKILL')
        await user.ended
      }
    })
  }

  it('takes SIGINT, and without a keeper SIGHUP too, for the same', async () => {
    for (const signal of ['SIGINT', 'SIGHUP'] as const) {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox)
      await fused.mount(sandbox.directory('mnt'))
      const { status } = await fused.stop(signal)
      assert.equal(status, 0, fused.log())
      assert.deepEqual([...sandbox.mounts(), ...fused.records()], [])
    }
  })

  it('refuses Drain where nobody keeps its descriptors, and goes on', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const { code, details } = await outcome(fused.call(Fused.method.drain))
    assert.equal(code, 'FAILED_PRECONDITION')
    assert.match(details, /no service manager keeps its descriptors/)
    assert.ok(await serves(sandbox, path))
    assert.deepEqual(await fused.paths(), [path])
  })

  it('ends although a session hangs: a reader of a slow volume', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { args: ['--drain-deadline', '0.5'] })
    const path = sandbox.directory('mnt')
    await fused.mount(path, { faults: ['read-delay=300'] })
    const reader = sandbox.start('cat', [`${path}/dummy-file.txt`])
    await eventually('it waits', async () => (await fused.call(Fused.method.inspect, { path })).pending > 0n)
    assert.equal((await fused.stop()).status, 0)
    assert.match((await reader.ended).stderr, /Software caused connection abort|Transport endpoint is not connected/)
  })

  it('ends while a mount is going on, of which nothing is left', async () => {
    for (const fault of ['init-hang', 'mount-delay=60']) {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, { keep: [], args: ['--drain-deadline', '0.5'] })
      const path = sandbox.directory('mnt')
      const call = outcome(fused.mount(path, { faults: [fault], deadlineMs: 60_000 }))
      await fused.logged('Fused/Mount')
      assert.equal((await fused.stop()).status, 0, fused.log())
      assert.notEqual((await call).code, 'OK')
      assert.deepEqual([...sandbox.mounts(), ...fused.records(), ...sandbox.processes()], [])
    }
  })
})

describe('a start of dummy-fused', () => {
  const fail = async (sandbox: Sandbox, args: readonly string[]): Promise<{ status: number | null; stderr: string }> =>
    await sandbox.run(DUMMY_FUSED, args, { timeout: 20_000 })

  it('fails on a socket in use, which goes on to serve', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const state = join(sandbox.path, 'second')
    const { status, stderr } = await fail(sandbox, ['--socket', fused.socket, '--state-dir', state])
    assert.equal(status, 1)
    assert.match(stderr, /dummy-fused: another process listens on .*fused\.sock; stop it, or name another/)
    await fused.mount(sandbox.directory('mnt'))
  })

  it('takes the place of a socket that nobody listens on, and of nothing else', async () => {
    await using sandbox = new Sandbox()
    const first = await FusedProcess.start(sandbox)
    first.running.child.kill('SIGKILL')
    await first.running.ended
    assert.ok(existsSync(first.socket))
    const second = await FusedProcess.start(sandbox)
    await second.stop()
    writeFileSync(second.socket, 'precious')
    const { status, stderr } = await fail(sandbox, ['--socket', second.socket, '--state-dir', second.stateDir])
    assert.equal(status, 1)
    assert.match(stderr, /fused\.sock exists and is no socket; remove it, or name another/)
  })

  it('fails on a state folder in use, and leaves its sessions and records alone', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const records = fused.records()
    const { status, stderr } = await fail(sandbox, ['--socket', join(sandbox.path, 's'), '--state-dir', fused.stateDir])
    assert.equal(status, 1)
    assert.match(stderr, /another dummy-fused uses the state folder .*; stop it, or name another with --state-dir/)
    assert.ok(!existsSync(join(sandbox.path, 's')))
    assert.deepEqual(fused.records(), records)
    assert.ok(await serves(sandbox, path))
    assert.equal(await fused.unmount(path), true)
  })

  it('fails on a state folder that cannot be one', async () => {
    await using sandbox = new Sandbox()
    writeFileSync(join(sandbox.path, 'file'), '')
    mkdirSync(join(sandbox.path, 'full'))
    writeFileSync(join(sandbox.path, 'full', 'sessions'), '')
    for (const [folder, why] of [
      ['file', /cannot use the state folder .*file/],
      ['file/below', /cannot use the state folder .*below/],
      ['full', /cannot use the state folder .*full/],
      ['n'.repeat(256), /cannot use the state folder/],
    ] as const) {
      const { status, stderr } = await fail(sandbox, [
        '--socket',
        join(sandbox.path, 's'),
        '--state-dir',
        join(sandbox.path, folder),
      ])
      assert.equal(status, 1, stderr)
      assert.match(stderr, why)
      assert.match(stderr, /repair it, or name another with --state-dir/)
      assert.ok(!existsSync(join(sandbox.path, 's')))
    }
  })

  const WORDS: readonly (readonly [args: readonly string[], why: RegExp])[] = [
    [['--nosuch'], /unknown option '--nosuch'/],
    [['word'], /too many arguments|word/],
    [['--socket', 'relative'], /'relative' is not an absolute path/],
    [['--socket', '/' + 's'.repeat(200)], /longer than the 107 bytes/],
    [['--takeover-deadline', 'soon'], /takeover-deadline/],
    [['--drain-deadline', '-1'], /drain-deadline/],
    [['--poll-time', '99999'], /poll-time/],
    [['--inject', 'fire'], /unknown fault 'fire' for --inject; there is no-resend/],
    [['--log-format', 'xml'], /log-format/],
  ]
  it('exits with 2 for wrong words, and says which', async () => {
    await using sandbox = new Sandbox()
    for (const [args, why] of WORDS) {
      const { status, stderr } = await fail(sandbox, ['--state-dir', join(sandbox.path, 'state'), ...args])
      assert.equal(status, 2, `${args.join(' ')}: ${stderr}`)
      assert.match(stderr, why)
    }
  })

  it('that has failed three times in a row waits before it exits, longer each time, and counts anew after one that has not', async () => {
    await using sandbox = new Sandbox()
    const socket = join(sandbox.path, 'taken.sock')
    const stateDir = join(sandbox.path, 'state')
    const taken = createServer().listen(socket).unref()
    const attempt = async (): Promise<{ stderr: string; time: number }> => {
      const begun = performance.now()
      const { status, stderr } = await fail(sandbox, ['--socket', socket, '--state-dir', stateDir])
      assert.equal(status, 1)
      return { stderr, time: performance.now() - begun }
    }
    for (let count = 1; count <= 2; count++) assert.doesNotMatch((await attempt()).stderr, /waiting/)
    for (const [count, wait] of [
      [3, 1],
      [4, 2],
    ] as const) {
      const { stderr, time } = await attempt()
      assert.match(stderr, new RegExp(`${count} starts in a row have failed; waiting ${wait} s before the next`))
      assert.ok(time >= wait * 1000)
    }
    // Whoever tells it to end is not kept waiting.
    const told = sandbox.start(DUMMY_FUSED, ['--socket', socket, '--state-dir', stateDir])
    await eventually('it waits', () => told.output().includes('waiting 4 s'))
    const begun = performance.now()
    told.child.kill('SIGTERM')
    assert.equal((await endOf(told)).status, 1)
    assert.ok(performance.now() - begun < 3500)
    taken.close()
    const good = sandbox.start(DUMMY_FUSED, ['--socket', socket, '--state-dir', stateDir])
    await eventually('it serves', () => good.output().includes('Listening for connections'))
    good.child.kill('SIGTERM')
    assert.equal((await endOf(good)).status, 0)
    const again = createServer().listen(socket).unref()
    assert.doesNotMatch((await attempt()).stderr, /waiting/)
    again.close()
  })

  it('that fails does not cost the sessions it was handed', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    // Takes the state folder for as long as it lives: the successors fail.
    const holder = sandbox.start('flock', [fused.stateDir, 'sh', '-c', 'echo held && exec sleep 60'])
    await eventually('it waits for the folder', () => waitsForFlock(holder.pid))
    await fused.kill()
    await fused.logged('another dummy-fused uses the state folder')
    await eventually('it has the folder', () => holder.output().includes('held'))
    // The child has the lock too, and cannot be found once its parent has gone.
    for (const pid of childrenOf(holder.pid)) process.kill(pid, 'SIGKILL')
    holder.child.kill('SIGKILL')
    await fused.answers()
    assert.ok(await serves(sandbox, path))
  })
})
