import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { GREETING, serves } from '../support/mounts.ts'
import { daemonIn, endOf, inForeground, mountDummyFuse } from '../support/mounting.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** The names of a process's threads but for its first. */
function otherThreads(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`)
    .filter((id) => Number(id) !== pid)
    .map((id) => readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim())
}

describe('a dummy-fuse', () => {
  it('runs no JavaScript in a second thread: all but the first are V8, libuv or Node helpers', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox)
    assert.ok(await serves(sandbox, path))
    const helpers = /^(V8Worker|DelayedTaskSche|SignalInspector|libuv-worker)$/
    assert.deepEqual(
      otherThreads(daemonIn(sandbox)).filter((name) => !helpers.test(name)),
      [],
    )
  })

  it('answers other requests at once while many reads are delayed, and each read after its own delay', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox, ['-o', 'direct_io', '--inject', 'read-delay=3'])
    const begun = performance.now()
    let ended = 0
    // cat(1) reads twice: the second time it is told the end. A read takes three seconds, and on a busy machine longer.
    const reads = Array.from({ length: 5 }, async () => {
      const { stdout } = await sandbox.run('cat', [`${path}/dummy-file.txt`])
      ended++
      return stdout
    })
    for (let lists = 0; lists < 2 || performance.now() - begun < 2000; lists++) {
      const { stdout } = await sandbox.run('ls', [path])
      assert.equal(stdout, 'dummy-file.txt\n')
    }
    assert.equal(ended, 0, 'two lists have come before the first reader ended')
    assert.deepEqual(await Promise.all(reads), Array<string>(5).fill(GREETING))
  })

  it('ends by _exit: no thread of it ends before all do', async () => {
    await using sandbox = new Sandbox()
    const trace = join(sandbox.path, 'trace')
    const path = sandbox.directory('mnt')
    const running = await inForeground(sandbox, path)
    const tracer = sandbox.start('strace', [
      '-f',
      '-e',
      'trace=exit,exit_group',
      '-e',
      'signal=none',
      '-o',
      trace,
      '-p',
      String(running.pid),
    ])
    await eventually('strace is attached to all threads', () => {
      const status = (id: string): string => readFileSync(`/proc/${running.pid}/task/${id}/status`, 'utf8')
      return readdirSync(`/proc/${running.pid}/task`).every((id) => !/^TracerPid:\s*0$/m.test(status(id)))
    })
    running.child.kill('SIGTERM')
    assert.equal((await endOf(running)).status, 0)
    await endOf(tracer)
    const calls = readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => /exit(_group)?\(/.test(line))
      .map((line) => line.replace(/^\d+ +/, '').replace(/ +=.*$/, ''))
    assert.deepEqual(calls, ['exit_group(0)'])
  })

  it('ends at SIGTERM after it has slept in the kernel, and says what it unmounted', async () => {
    await using sandbox = new Sandbox()
    const log = join(sandbox.path, 'log')
    const path = sandbox.directory('mnt')
    assert.equal((await sandbox.run(DUMMY_FUSE, ['--log-file', log, path])).status, 0)
    const pid = daemonIn(sandbox)
    await eventually('it sleeps', () => readFileSync(`/proc/${pid}/wchan`, 'utf8').includes('poll'))
    process.kill(pid, 'SIGTERM')
    await eventually('it has ended', () => sandbox.processes('dummy-fuse').length === 0)
    assert.match(readFileSync(log, 'utf8'), new RegExp(`unmounted ${path} at SIGTERM\\n$`))
  })
})
