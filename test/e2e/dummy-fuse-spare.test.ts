import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { READY_FD, SPARE_NAME, SPARE_ARGS } from '../../src/os/processes/daemon-channel.ts'
import { GREETING, serves } from '../support/mounts.ts'
import { endOf } from '../support/mounting.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { argumentsOf, commOf, descriptorsOf, devicesOf, Sandbox } from '../support/sandbox.ts'
import { SpareProcess } from '../support/spare.ts'
import { eventually } from '../support/wait.ts'

const CHILD = ['-f', '--die-with-parent']
const ARGUMENTS = ['dummy-fuse', ...SPARE_ARGS]

async function idle(sandbox: Sandbox): Promise<SpareProcess> {
  const spare = new SpareProcess(sandbox)
  assert.equal(await spare.word(1), 'idle')
  return spare
}

/** What dummy-fuse with these words, started anew, and a spare that is ordered them come to: exit status and standard error. */
async function both(args: (name: string) => readonly string[]): Promise<readonly unknown[][]> {
  await using sandbox = new Sandbox()
  const spare = await idle(sandbox)
  spare.order({ do: 'serve', words: args(join(sandbox.path, 'mnt')) })
  const ordered = await endOf(spare.running)
  const started = await sandbox.run(DUMMY_FUSE, args(join(sandbox.path, 'mnt')))
  assert.deepEqual(sandbox.mounts(), [])
  return [ordered, started].map(({ status, stdout, stderr }) => [status, stdout, stderr])
}

describe('a spare dummy-fuse', () => {
  it('waits with no device open, and serves at once what it is ordered, under the arguments of its order', async () => {
    await using sandbox = new Sandbox()
    const spare = await idle(sandbox)
    assert.deepEqual([argumentsOf(spare.pid), commOf(spare.pid), devicesOf(spare.pid)], [ARGUMENTS, SPARE_NAME, 0])
    const path = sandbox.directory(`mnt ${'long '.repeat(40)}é`)
    await spare.serve([...CHILD, '-o', 'ro', path])
    assert.ok(await serves(sandbox, path))
    assert.deepEqual([argumentsOf(spare.pid), commOf(spare.pid)], [['dummy-fuse', ...CHILD, '-o', 'ro', path], 'dummy-fuse'])
    const { stdout } = await sandbox.run('pgrep', ['-f', `dummy-fuse .*${sandbox.path}`])
    assert.match(stdout, new RegExp(`^${spare.pid}$`, 'm'))
    await eventually('it has said what was negotiated', () => spare.running.output().endsWith('\n'))
    const [said = '', ...more] = spare.running.output().split('\n')
    assert.ok(said.includes(`${path}: INIT negotiated: protocol 7.`), said)
    assert.deepEqual(more, [''])
  })

  it('says when its mount is gone, has closed its device by then, and serves the next with nothing of the one before', async () => {
    await using sandbox = new Sandbox()
    const spare = await idle(sandbox)
    const before = descriptorsOf(spare.pid).map(({ fd, target }) => `${fd} ${target}`)
    const args = [['-o', 'direct_io,allow_other', '--inject', 'read-delay=4'], ['-d'], ['--poll-time', '0'], []]
    for (const [round, options] of args.entries()) {
      const path = sandbox.directory(`mnt${round}`)
      await spare.serve([...CHILD, ...options, path])
      const begun = performance.now()
      assert.equal((await sandbox.run('cat', [`${path}/dummy-file.txt`])).stdout, GREETING)
      assert.equal(performance.now() - begun > 4000, round === 0)
      const said = spare.running.output()
      assert.equal(said.includes('LOOKUP'), round >= 1, said)
      assert.equal(
        (await sandbox.run('mount', [])).stdout.includes(
          `on ${path} type fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0${round === 0 ? ',allow_other' : ''})`,
        ),
        true,
      )
      // Before it is idle, when it waits for an order for two seconds: orders are queued.
      spare.order({ do: 'wait' })
      assert.equal((await sandbox.run('umount', [path])).status, 0)
      assert.equal(await spare.word(3 + 2 * round), 'idle')
      assert.deepEqual([argumentsOf(spare.pid), commOf(spare.pid), devicesOf(spare.pid)], [ARGUMENTS, SPARE_NAME, 0])
      if (round === 1) assert.match(spare.running.output().slice(said.length), /FUSE|LOOKUP|was unmounted/)
    }
    const traced = spare.running.output().lastIndexOf('LOOKUP')
    assert.ok(traced < spare.running.output().indexOf(`${sandbox.path}/mnt1 was unmounted`), 'nothing is traced after its order')
    assert.deepEqual(
      descriptorsOf(spare.pid).map(({ fd, target }) => `${fd} ${target}`),
      before,
    )
  })

  it('serves a hundred orders in a row', async () => {
    await using sandbox = new Sandbox()
    const spare = await idle(sandbox)
    const path = sandbox.directory('mnt')
    for (let round = 0; round < 100; round++) {
      await spare.serve([...CHILD, path])
      if (round % 10 === 0) assert.ok(await serves(sandbox, path))
      spare.order({ do: 'wait' })
      await sandbox.run('umount', [path])
      assert.equal(await spare.word(3 + 2 * round), 'idle')
    }
    spare.order({ do: 'end' })
    assert.equal((await endOf(spare.running)).status, 0)
  })

  const FAILURES: Readonly<Record<string, (path: string) => readonly string[]>> = {
    'a path that is not there': (path) => [...CHILD, path],
    'a file': () => [...CHILD, '/etc/passwd'],
    'wrong words': (path) => [...CHILD, '--no-such-option', path],
    'a mount option that there is not': (path) => [...CHILD, '-o', 'nonsense', path],
    'a mount that fails': () => [...CHILD, '-o', 'nonempty', '--inject', 'mount-fail', '/'],
  }
  for (const [what, args] of Object.entries(FAILURES)) {
    it(`says of ${what}, and ends with, what one that is started for it does`, async () => {
      const [ordered, started] = await both(args)
      assert.deepEqual(ordered, started)
      assert.notEqual(started?.[0], 0)
      assert.match(String(started?.[2]), /^dummy-fuse: [^\n]+\n$/)
    })
  }

  it('ends when its starter hangs up, is told to end or sent SIGTERM; ignores Ctrl-C; waits on for as long as it is told to', async () => {
    await using sandbox = new Sandbox()
    const [left, told, signalled, waiting] = await Promise.all([1, 2, 3, 4].map(async () => await idle(sandbox)))
    assert.ok(left !== undefined && told !== undefined && signalled !== undefined && waiting !== undefined)
    waiting.order({ do: 'wait' })
    for (const spare of [left, told, signalled, waiting]) spare.running.child.kill('SIGINT')
    left.hangUp()
    told.order({ do: 'end' })
    signalled.running.child.kill('SIGTERM')
    for (const spare of [left, told, signalled]) {
      const { status, stderr } = await endOf(spare.running)
      assert.deepEqual([status, stderr], [0, ''])
    }
    assert.equal(waiting.running.child.exitCode, null)
    const path = sandbox.directory('mnt')
    await waiting.serve([...CHILD, path])
    assert.ok(await serves(sandbox, path))
  })

  it('dies with its starter, whatever holds the channel, but not once it serves what is to outlive that', async () => {
    for (const [args, dies] of [
      [undefined, true],
      [CHILD, true],
      [['-f'], false],
    ] as const) {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const script = `import json, os, signal, socket, subprocess, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen([sys.argv[1], *json.loads(sys.argv[2])], pass_fds=[theirs.fileno()], env={**os.environ, '${READY_FD}': str(theirs.fileno())}, start_new_session=True, stdout=subprocess.DEVNULL)
assert ours.recv(100) == b'idle\\n'
words = json.loads(sys.argv[3])
if words is not None:
    ours.sendall(json.dumps({'do': 'serve', 'words': words}).encode() + b'\\n')
    said = b''
    while not said.endswith(b'ready\\n'):
        said += ours.recv(100)
    assert said == b'mounting\\nready\\n', said
print(child.pid, flush=True)
signal.pause()`
      const order = args === undefined ? 'null' : JSON.stringify([...args, path])
      const starter = sandbox.start('python3', ['-c', script, DUMMY_FUSE, JSON.stringify(SPARE_ARGS), order], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      const pid = Number(await eventually('the spare is there', () => /^(\d+)\n/.exec(starter.output())?.[1], 20_000))
      starter.child.kill('SIGKILL')
      await endOf(starter)
      if (dies) await eventually('it has died', () => commOf(pid) === '')
      else {
        assert.ok(await serves(sandbox, path))
        await sandbox.run('umount', [path])
        await eventually('it has ended', () => commOf(pid) === '')
      }
    }
  })

  it('that has hung up on while it mounts takes its mount back', async () => {
    await using sandbox = new Sandbox()
    const spare = await idle(sandbox)
    const path = sandbox.directory('mnt')
    spare.order({ do: 'serve', words: [...CHILD, '--inject', 'init-hang', path] })
    await eventually('mount(2) was called', () => devicesOf(spare.pid) === 1)
    spare.hangUp()
    assert.equal((await endOf(spare.running)).status, 0)
    assert.deepEqual(sandbox.mounts(), [])
  })

  it('that is not answered when it is idle again ends by itself', async () => {
    await using sandbox = new Sandbox()
    const spare = await idle(sandbox)
    const path = sandbox.directory('mnt')
    await spare.serve([...CHILD, path])
    await sandbox.run('umount', [path])
    assert.equal(await spare.word(3), 'idle')
    assert.equal((await endOf(spare.running)).status, 0)
  })

  it('is no program for people', async () => {
    await using sandbox = new Sandbox()
    const { status, stderr } = await sandbox.run(DUMMY_FUSE, SPARE_ARGS)
    assert.deepEqual(
      [status, stderr],
      [2, 'dummy-fuse: only a plugin starts a dummy-fuse with --spare; name a mount point instead\n'],
    )
    const other = await sandbox.run(DUMMY_FUSE, ['--spare', '/'])
    assert.match(other.stderr, /unknown option '--spare'/)
  })
})
