import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { GrpcClient } from '../../src/grpc/client.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { type Kept, observe, PYTHON } from '../support/kept.ts'
import { DIST, EXECUTABLE } from '../support/paths.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const LIMIT = 60_000

interface Mounted {
  readonly kept: Kept
  readonly mnt: string
  readonly client: GrpcClient
}

/** keep with dummy-fused, which serves one mount. */
async function mounted(sandbox: Sandbox): Promise<Mounted> {
  const socket = join(sandbox.path, 'fused.sock')
  const daemon = [join(DIST, 'dummy-fused'), '--state-dir', join(sandbox.path, 'state')]
  const kept = observe(sandbox, sandbox.start(EXECUTABLE, ['keep', '--socket', socket, '--', ...daemon]))
  const mnt = sandbox.directory('mnt')
  await kept.program()
  const client = new GrpcClient(socket)
  await client.call(Fused.method.mount, { path: mnt }, LIMIT)
  return { kept, mnt, client }
}

/** Reads through a descriptor that it holds and through one that it opens each time, until it is told to stop; tells what it saw. */
function reader(sandbox: Sandbox, mnt: string): Running {
  const code = `
import json, os, sys, time
path, stop = sys.argv[1] + '/dummy-file.txt', sys.argv[2]
held = os.open(path, os.O_RDONLY)
expected = os.pread(held, 1000, 0)
reads, errors, longest = 0, [], 0
print('reading', flush=True)
while not os.path.exists(stop):
    before = time.monotonic()
    try:
        new = os.open(path, os.O_RDONLY)
        os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
        for fd in (held, new):
            if os.pread(fd, 1000, 0) != expected: errors.append('other bytes')
            reads += 1
        os.close(new)
    except OSError as error: errors.append(error.strerror)
    longest = max(longest, time.monotonic() - before)
    time.sleep(0.005)
print(json.dumps([reads, errors[:5], round(1000 * longest)]))`
  return sandbox.start(PYTHON, ['-c', code, mnt, join(sandbox.path, 'stop')])
}

async function outcome(sandbox: Sandbox, running: Running): Promise<readonly [reads: number, errors: string[]]> {
  writeFileSync(join(sandbox.path, 'stop'), '')
  const { stdout } = await running.ended
  const [reads, errors] = JSON.parse(stdout.split('\n')[1] ?? '[]') as [number, string[], number]
  return [reads, errors]
}

/** Waits for the line of another life of the daemon. */
async function lives(kept: Kept, count: number): Promise<void> {
  await eventually(
    `life ${count} is ready`,
    () => (kept.running.output().match(/dummy-fused\[\d+\] is ready/g)?.length ?? 0) >= count,
    LIMIT,
  )
}

describe('dummy-fused under keep', () => {
  for (const [title, signal, count] of [
    ['eight kills', 'SIGKILL', 8],
    ['three upgrades', 'SIGHUP', 3],
  ] as const) {
    it(`fails no read through ${title}`, async () => {
      await using sandbox = new Sandbox()
      const { kept, mnt, client } = await mounted(sandbox)
      using _ = client
      const running = reader(sandbox, mnt)
      await eventually('it reads', () => running.output().includes('reading'))
      for (let life = 1; life <= count; life++) {
        if (signal === 'SIGKILL') process.kill(await kept.program(), signal)
        else kept.running.child.kill(signal)
        await lives(kept, life + 1)
      }
      const { sessions } = await client.call(Fused.method.list, {}, LIMIT)
      assert.deepEqual(
        sessions.map(({ path }) => path),
        [mnt],
      )
      const [reads, errors] = await outcome(sandbox, running)
      assert.deepEqual(errors, [])
      assert.ok(reads > count)
      kept.running.child.kill('SIGTERM')
      assert.equal((await kept.running.ended).status, 0)
      assert.deepEqual([sandbox.mounts(), sandbox.processes(), existsSync(join(sandbox.path, 'fused.sock'))], [[], [], false])
    })
  }

  it('unmounts and lets go of what is taken off its path', async () => {
    await using sandbox = new Sandbox()
    const { kept, mnt, client } = await mounted(sandbox)
    using _ = client
    await client.call(Fused.method.unmount, { path: mnt, graceMs: 1000 }, LIMIT)
    process.kill(await kept.program(), 'SIGKILL')
    await lives(kept, 2)
    assert.match(kept.running.output(), /ended: SIGKILL\n.*started dummy-fused\[\d+\] with 1 descriptors\n/)
  })

  it('answers a call that is made while it is away', async () => {
    await using sandbox = new Sandbox()
    const { kept, mnt, client } = await mounted(sandbox)
    client[Symbol.dispose]()
    process.kill(await kept.program(), 'SIGKILL')
    using another = new GrpcClient(join(sandbox.path, 'fused.sock'))
    const { sessions } = await another.call(Fused.method.list, {}, LIMIT)
    assert.deepEqual(
      sessions.map(({ path }) => path),
      [mnt],
    )
  })
})
