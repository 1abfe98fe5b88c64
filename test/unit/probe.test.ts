import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { probe } from '../../src/os/mounts/probe.ts'
import { mount } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'
import { SilentMount } from '../support/silent-mount.ts'

/** A file system that is well answers within this time, in milliseconds. */
const LONG = 30_000

/** Has this shell script be stat(1) until the test ends. */
function replaceStat(t: TestContext, sandbox: Sandbox, script: string): void {
  const folder = sandbox.directory('bin')
  writeFileSync(join(folder, 'stat'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const { PATH } = process.env
  process.env.PATH = `${folder}:${PATH ?? ''}`
  t.after(() => {
    process.env.PATH = PATH
  })
}

describe('probe', () => {
  it('gives the figures of statfs(2)', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    mount('-t', 'tmpfs', '-o', 'size=1M,nr_inodes=100', 'tmpfs', path)
    writeFileSync(join(path, 'one-page'), 'x')
    assert.deepEqual(await probe(path, LONG), {
      kind: 'alive',
      usage: { blockSize: 4096, blocks: 256, blocksFree: 255, blocksAvailable: 255, files: 100, filesFree: 98 },
    })
  })

  it('takes each figure of stat(1) for what it is', async (t) => {
    await using sandbox = new Sandbox()
    replaceStat(t, sandbox, 'echo 1 2 3 4 5 6')
    const usage = { blockSize: 1, blocks: 2, blocksFree: 3, blocksAvailable: 4, files: 5, filesFree: 6 }
    assert.deepEqual(await probe(sandbox.path, LONG), { kind: 'alive', usage })
  })

  it('calls a mount dead whose device is closed', async () => {
    await using sandbox = new Sandbox()
    using silent = new SilentMount(sandbox.directory('mnt'))
    silent.die()
    assert.deepEqual(await probe(silent.path, LONG), { kind: 'dead', message: 'transport endpoint is not connected' })
  })

  it('calls a mount hung that does not answer in time, and the process that asked ends', async () => {
    await using sandbox = new Sandbox()
    using silent = new SilentMount(sandbox.directory('mnt'))
    // stat(1) has five times as long to begin: one that has not asked yet is not hung.
    const answer = await probe(silent.path, 2000)
    assert.equal(answer.kind, 'hung')
    await answer.gone
    assert.deepEqual(sandbox.processes('stat'), [])
  })

  it('calls a path absent that is not there, or leads through a file', async () => {
    await using sandbox = new Sandbox()
    writeFileSync(join(sandbox.path, 'file'), '')
    for (const path of [join(sandbox.path, 'nothing'), join(sandbox.path, 'file', 'below'), '--version'])
      assert.deepEqual(await probe(path, LONG), { kind: 'absent' }, path)
  })

  it('calls a connection dead that is aborted while it is asked', async (t) => {
    await using sandbox = new Sandbox()
    replaceStat(
      t,
      sandbox,
      `echo "stat: cannot read file system information for '$5': Software caused connection abort" >&2; exit 1`,
    )
    assert.deepEqual(await probe('/a: b', LONG), { kind: 'dead', message: 'software caused connection abort' })
  })

  for (const [script, message] of [
    [`echo "stat: cannot read '/x: y': Permission denied" >&2; exit 1`, 'stat(1) says permission denied'],
    // Only ENOTCONN and ECONNABORTED mean that nobody serves any more.
    [`echo "stat: cannot read '/x': Input/output error" >&2; exit 1`, 'stat(1) says input/output error'],
    ['exit 3', 'stat(1) says nothing'],
    ['kill -KILL $$', 'stat(1) was killed before it had an answer'],
    ['echo 1 2 3 4 5', 'stat(1) answers in another form'],
    ['echo 1 2 3 4 5 six', 'stat(1) answers in another form'],
  ] as const) {
    it(`knows nothing of a file system when ${message}: ${script}`, async (t) => {
      await using sandbox = new Sandbox()
      replaceStat(t, sandbox, script)
      assert.deepEqual(await probe('/x', LONG), { kind: 'unknown', message: `cannot ask /x for its state: ${message}` })
    })
  }

  it('knows nothing of a file system that stat(1) has not asked yet, however long that takes', async (t) => {
    await using sandbox = new Sandbox()
    replaceStat(t, sandbox, 'exec sleep 600')
    const answer = await probe(sandbox.path, 20)
    assert.equal(answer.kind, 'unknown')
    assert.match(answer.message, /was killed before it had an answer/)
  })

  it('knows nothing of a path that no program can be given, and does not reject', async () => {
    for (const path of ['/a\0b', `/${'x'.repeat(200_000)}`]) {
      const answer = await probe(path, LONG)
      assert.equal(answer.kind, 'unknown')
      assert.match(answer.message, /: stat\(1\) does not start: /)
    }
  })
})
