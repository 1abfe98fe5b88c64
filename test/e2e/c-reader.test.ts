import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MachineReader, Reader, readerEvents, type ReaderMode, readerProgram } from '../support/c-reader.ts'
import { daemonIn, hungMount, killDaemonIn, mountDummyFuse } from '../support/mounting.ts'
import { mount } from '../support/mounts.ts'
import { Machine } from '../support/nspawn.ts'
import { Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

const MODES: readonly ReaderMode[] = ['held', 'reopen', 'mmap', 'cwd']

/** What each gets that was reading when the daemon died. */
const AFTER_DEATH: Readonly<Record<ReaderMode, string>> = {
  held: 'ENOTCONN',
  reopen: 'ENOTCONN',
  mmap: 'SIGBUS',
  cwd: 'ENOTCONN',
}

const WRONG_WORDS: Readonly<Record<string, readonly string[]>> = {
  'no mode': ['--file', '/x'],
  'no file': ['--mode', 'held'],
  'an unknown mode': ['--file', '/x', '--mode', 'sideways'],
  'a number that is none': ['--file', '/x', '--mode', 'held', '--interval-us', '1ms'],
  'an unknown option': ['--file', '/x', '--mode', 'held', '--loud'],
}

function fileIn(directory: string): string {
  return join(directory, 'dummy-file.txt')
}

describe('the C reader', () => {
  for (const mode of MODES) {
    it(`counts what is right, ${mode}`, async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox)
      const reader = await Reader.start(sandbox, { mode, file: fileIn(path), rounds: 20, intervalUs: 0 })
      const { rounds, right, wrong, failed, longestStall, longestGap, ...summary } = await reader.summary({ ended: true })
      assert.deepEqual({ rounds, right, wrong, failed }, { rounds: 20, right: 20, wrong: 0, failed: {} })
      assert.ok(longestStall.ns > 0 && longestStall.ns <= longestGap.ns)
      assert.equal(summary.firstBadNs, null)
      assert.ok(summary.startedNs < (summary.firstRightNs ?? 0) && (summary.lastRightNs ?? Infinity) < summary.endedNs)
    })

    it(`asks the daemon in each round, ${mode}`, async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox)
      const reader = await Reader.start(sandbox, { mode, file: fileIn(path) })
      await reader.reading()
      await stop(daemonIn(sandbox))
      const before = await reader.until('it waits', ({ pendingNs }) => pendingNs > 100e6)
      const { rounds, pendingNs, longestStall } = await reader.until('it waits on', (now) => now.pendingNs > before.pendingNs)
      assert.equal(rounds, before.rounds)
      assert.ok(longestStall.ns >= pendingNs)
      process.kill(daemonIn(sandbox), 'SIGCONT')
      const { right, failed } = await reader.until('it reads on', (now) => now.right > before.right + 1)
      assert.ok(right > 0)
      assert.deepEqual(failed, {})
    })

    it(`counts the failures of a daemon that was killed by name and goes on, ${mode}`, async () => {
      await using sandbox = new Sandbox()
      const events = join(sandbox.path, 'events')
      const path = await mountDummyFuse(sandbox)
      const reader = await Reader.start(sandbox, { mode, file: fileIn(path), events })
      await reader.reading()
      process.kill(daemonIn(sandbox), 'SIGKILL')
      const error = AFTER_DEATH[mode]
      await reader.until('three rounds failed', ({ failed }) => (failed[error] ?? 0) >= 3)
      const summary = await reader.summary()
      assert.equal(summary.wrong, 0)
      const bad = Object.values(summary.failed).reduce((sum, count) => sum + count, 0)
      assert.equal(summary.rounds, summary.right + bad)
      assert.ok((summary.lastRightNs ?? Infinity) < (summary.firstBadNs ?? 0))
      assert.ok(summary.longestGap.ns >= summary.endedNs - (summary.lastRightNs ?? 0))
      const failures = readerEvents(events).filter(({ event }) => event === 'failed')
      assert.equal(failures.length, bad)
      const rounds = failures.map(({ round }) => round)
      assert.deepEqual(
        rounds,
        Array.from(rounds.keys(), (i) => summary.right + 1 + i),
        'each round since then',
      )
    })

    it(`can be started before there is anything to read, ${mode}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const reader = await Reader.start(sandbox, { mode, file: fileIn(path) })
      await reader.until('a round failed', ({ failed }) => (failed.ENOENT ?? 0) > 0)
      await mountDummyFuse(sandbox)
      if (mode !== 'cwd') {
        await reader.reading()
        return
      }
      // Its working directory is the one that the mount has covered.
      const before = await reader.progress()
      const { right } = await reader.until('it tries on', ({ rounds }) => rounds > before.rounds + 1)
      assert.equal(right, 0)
    })
  }

  it('tells of a read that hangs, and ends', async () => {
    await using sandbox = new Sandbox()
    const path = await hungMount(sandbox)
    const reader = await Reader.start(sandbox, { mode: 'held', file: fileIn(path) })
    await reader.until('it waits', ({ pendingNs }) => pendingNs > 0)
    const { rounds, right, pendingNs, longestStall } = await reader.summary()
    assert.deepEqual({ rounds, right }, { rounds: 0, right: 0 })
    assert.ok(pendingNs > 0 && longestStall.ns >= pendingNs)
  })

  it('names the errno of a mount that is dead at its start', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox)
    await killDaemonIn(sandbox)
    const reader = await Reader.start(sandbox, { mode: 'reopen', file: fileIn(path), rounds: 3 })
    const { failed, firstRightNs } = await reader.summary({ ended: true })
    assert.deepEqual({ failed, firstRightNs }, { failed: { ENOTCONN: 3 }, firstRightNs: null })
  })

  for (const mode of MODES) {
    for (const [what, content] of Object.entries({
      other: 'Hello earth!\n',
      shorter: 'Hello',
      longer: 'Hello world!\n\n',
      no: '',
    })) {
      it(`counts ${what} bytes as wrong, ${mode}`, async () => {
        await using sandbox = new Sandbox()
        const file = join(sandbox.path, 'file')
        const events = join(sandbox.path, 'events')
        writeFileSync(file, content)
        const reader = await Reader.start(sandbox, { mode, file, rounds: 2, events })
        const { right, wrong, failed } = await reader.summary({ ended: true })
        // A page of a map beyond the file's end is no page (mmap(2)).
        const expected = content === '' && mode === 'mmap' ? { wrong: 0, failed: { SIGBUS: 2 } } : { wrong: 2, failed: {} }
        assert.deepEqual({ right, wrong, failed }, { right: 0, ...expected })
        const hexes = readerEvents(events).flatMap((event) => (event.event === 'wrong' ? [event.hex] : []))
        const seen = mode === 'mmap' ? content.padEnd('Hello world!\n'.length, '\0') : content
        assert.deepEqual(new Set(hexes), new Set(expected.wrong === 0 ? [] : [Buffer.from(seen).toString('hex')]))
      })
    }
  }

  it('writes down a stall that is long enough', async () => {
    await using sandbox = new Sandbox()
    const events = join(sandbox.path, 'events')
    const path = await mountDummyFuse(sandbox)
    const reader = await Reader.start(sandbox, { mode: 'reopen', file: fileIn(path), events, stallLogMs: 300 })
    await reader.reading()
    await stop(daemonIn(sandbox))
    await reader.until('it waits', ({ pendingNs }) => pendingNs > 300e6)
    process.kill(daemonIn(sandbox), 'SIGCONT')
    const { longestStall } = await reader.until('it reads on', ({ pendingNs, lastRightNs, longestStall: { atNs } }) => {
      return pendingNs < 300e6 && (lastRightNs ?? 0) > atNs
    })
    const stalls = readerEvents(events).flatMap((event) => (event.event === 'stall' ? [{ ns: event.ns, atNs: event.atNs }] : []))
    assert.ok(stalls.some(({ ns, atNs }) => ns === longestStall.ns && atNs === longestStall.atNs))
  })

  it('can live in a mount namespace of its own', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox)
    const reader = await Reader.start(sandbox, { mode: 'reopen', file: fileIn(path), privateNamespace: true })
    await reader.reading()
    mount('-t', 'tmpfs', 'hidden', path)
    const before = await reader.progress()
    const { failed, wrong } = await reader.until('it reads on', ({ right }) => right > before.right + 1)
    assert.deepEqual({ failed, wrong }, { failed: {}, wrong: 0 })
  })

  it('runs inside a machine, as a unit of its systemd', async () => {
    await using machine = await Machine.create()
    writeFileSync(join(machine.root, 'srv/file'), 'Hello world!\n')
    await machine.boot()
    const reader = await MachineReader.start(machine, 'reader', { mode: 'held', file: '/srv/file', privateNamespace: true })
    await reader.reading()
    const { right } = await reader.progress()
    assert.ok(right > 0)
    const summary = await reader.summary()
    assert.ok(summary.right >= right)
    assert.deepEqual({ wrong: summary.wrong, failed: summary.failed }, { wrong: 0, failed: {} })
    await eventually('its unit has ended', async () => (await machine.property('reader.service', 'ActiveState')) === 'inactive')
  })

  for (const [what, args] of Object.entries(WRONG_WORDS)) {
    it(`ends with 2 at wrong words: ${what}`, async () => {
      await using sandbox = new Sandbox()
      const { status, stderr } = await sandbox.run(await readerProgram(), args)
      assert.equal(status, 2)
      assert.notEqual(stderr, '')
    })
  }
})
