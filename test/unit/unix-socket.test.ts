import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { claimSocket } from '../../src/os/sockets/unix-socket.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** A process that has bound a socket to a path, and listens when it gets a line. */
async function bound(sandbox: Sandbox, path: string): Promise<Running> {
  const code = [
    'import socket, sys',
    's = socket.socket(socket.AF_UNIX)',
    's.bind(sys.argv[1])',
    'print("bound", flush=True)',
    'sys.stdin.readline()',
    's.listen()',
    'sys.stdin.readline()',
  ].join('\n')
  const running = sandbox.start('python3', ['-c', code, path])
  await eventually('the socket is bound', () => running.output().includes('bound'))
  return running
}

describe('claimSocket', () => {
  it('leaves a socket alone that is bound and listens a moment later', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'csi.sock')
    const other = await bound(sandbox, path)
    const claimed = claimSocket(path)
    other.child.stdin?.write('\n')
    await assert.rejects(claimed, /another process listens on .*csi\.sock; stop it, or name another endpoint/)
    assert.ok(existsSync(path))
  })

  it('takes the place of a socket whose process has ended, and of one that is bound and never listens', async () => {
    await using sandbox = new Sandbox()
    for (const ended of [true, false]) {
      const path = join(sandbox.path, `${ended}.sock`)
      const other = await bound(sandbox, path)
      if (ended) other.child.kill('SIGKILL')
      if (ended) await other.ended
      await claimSocket(path)
      assert.ok(!existsSync(path))
    }
  })
})
