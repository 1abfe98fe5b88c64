import assert from 'node:assert/strict'
import { chmodSync, closeSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import { Command } from '../../src/keeper/command.ts'
import { Keeper, type KeeperOptions } from '../../src/keeper/keeper.ts'
import { ProcessTree } from '../../src/keeper/process-tree.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { DescriptorWatch } from '../../src/os/descriptors/descriptor-watch.ts'
import { Libc } from '../../src/os/libc.ts'
import { becomeSubreaper } from '../../src/os/processes/child-processes.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { parseNotice } from '../../src/sd/notify-message.ts'
import { childrenOf } from '../support/kept.ts'
import { Launcher } from '../../src/os/processes/launcher.ts'
import { launcherImage } from '../support/launcher.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())
// Else what a program leaves behind would not be below this process, and would outlive it.
becomeSubreaper(libc)

/** Times in milliseconds, of the mocked clock; `lastWait` of the real one. */
const OPTIONS: KeeperOptions = {
  storeMax: 10,
  restart: 'always' as const,
  watchdog: 60_000,
  watchedFrom: 'ready',
  stopTimeout: 90_000,
  takeoverDeadline: 60_000,
  abortGrace: 5000,
  stopped: 30_000,
  lastWait: 10_000,
}
/** More than any time above. */
const VERY_LONG = 1_000_000

/** A keeper in this process, whose clock the test sets, with a shell script for its program. The test says what the program notifies. */
class KeptScript implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly lines: string[] = []
  readonly keeper: Keeper
  /** The keeper's exit status. */
  readonly over: Promise<number>
  readonly #launcher = new Launcher(libc, launcherImage(this.sandbox, 'keep'))
  #starts = 0

  /** `file`, below the sandbox, in place of a shell with `script`. The script has the sandbox's path in $0. */
  constructor(script: string, options: Partial<KeeperOptions> = {}, file?: string) {
    const { path } = this.sandbox
    const words = file === undefined ? (['/bin/sh', '-c', script, path] as const) : ([join(path, file)] as const)
    const context = { libc, tree: new ProcessTree(libc), watch: new DescriptorWatch(libc) }
    const log = new Logger((line) => this.lines.push(line.slice(20)))
    const command = new Command([...words], { PATH: process.env.PATH })
    this.keeper = new Keeper(command, this.#launcher, [], context, { ...OPTIONS, ...options }, log)
    this.over = this.keeper.run()
  }

  /** Waits until the program has been started once more, and has made the file `up`, if its script does; gives its id. */
  async started(descriptors = 0): Promise<number> {
    const count = ++this.#starts
    const pattern = /^started \S+\[(\d+)\] with (\d+) descriptors$/
    const [, pid, given] = await this.#eventually(`it was started ${count} times`, () => {
      return this.lines.flatMap((line) => [pattern.exec(line) ?? []].filter(({ length }) => length > 0))[count - 1]
    })
    assert.equal(Number(given), descriptors)
    return Number(pid)
  }

  /** Stops the program, and has the keeper know. */
  async stopped(pid: number): Promise<void> {
    process.kill(pid, 'SIGSTOP')
    await this.#eventually('it is stopped', () => processStat(pid)?.state === 'T' || undefined)
    this.keeper.childChanged()
  }

  /** Waits until the script has made a file. */
  async made(name: string): Promise<void> {
    await this.#eventually(`it has made ${name}`, () => existsSync(join(this.sandbox.path, name)))
  }

  async logged(pattern: RegExp): Promise<void> {
    await this.#eventually(`it logs ${String(pattern)}`, () => this.lines.some((line) => pattern.test(line)))
  }

  /** Has the program say this, a line each. */
  notify(lines: readonly string[], descriptors: readonly number[] = []): void {
    const notice = parseNotice(Buffer.from(lines.join('\n')))
    assert.ok(typeof notice === 'object')
    this.keeper.notice(notice, descriptors, 0)
  }

  /** Has the program say that a copy of a pipe's end be stored, polled or not; gives the other end. */
  store(name: string): number {
    const [read, write] = libc.pipe()
    this.notify(['FDSTORE=1', `FDNAME=${name}`, 'FDPOLL=0'], [write])
    return read
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.keeper.stop()
    mock.timers.tick(VERY_LONG)
    await this.over
    this.#launcher.close()
    await this.sandbox[Symbol.asyncDispose]()
  }

  async #eventually<T>(what: string, condition: () => T): Promise<NonNullable<T>> {
    try {
      return await eventually(what, condition)
    } catch (error) {
      throw new Error(`${what}; log:\n${this.lines.join('\n')}`, { cause: error })
    }
  }
}

/** A program that ends by any signal of those that end one. */
const WAITS = 'exec sleep 600'
/** One that does not end by this signal, and has made `up` when it does not. */
const ignoring = (signal: string): string => `trap '' ${signal}; : > "$0/up"; while :; do sleep 600; done`

describe('Keeper', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
  afterEach(() => mock.timers.reset())

  it('watches a program from READY=1 on where that was asked for, and starts it again', async () => {
    await using kept = new KeptScript(WAITS)
    const pid = await kept.started()
    mock.timers.tick(VERY_LONG)
    kept.notify(['READY=1'])
    mock.timers.tick(OPTIONS.watchdog - 1)
    kept.notify(['WATCHDOG=1'])
    mock.timers.tick(OPTIONS.watchdog - 1)
    assert.deepEqual(kept.lines.slice(1), [`sh[${pid}] is ready`])
    mock.timers.tick(1)
    await kept.started()
    assert.deepEqual(kept.lines.slice(2, 4), [`sh[${pid}] missed its watchdog: SIGABRT`, `sh[${pid}] ended: SIGABRT`])
  })

  it('waits once more for a program that it has not heard because it was stopped itself', async () => {
    await using kept = new KeptScript(WAITS)
    await kept.started()
    kept.notify(['READY=1'])
    const now = performance.now()
    const clock = mock.method(performance, 'now', () => now + OPTIONS.watchdog + 2 * OPTIONS.stopped)
    try {
      mock.timers.tick(OPTIONS.watchdog)
    } finally {
      clock.mock.restore()
    }
    assert.ok(!kept.lines.join().includes('watchdog'))
    mock.timers.tick(OPTIONS.watchdog)
    await kept.logged(/missed its watchdog: SIGABRT/)
  })

  it('kills a watched program that was stopped for too long, and none that goes on before', async () => {
    await using kept = new KeptScript(WAITS)
    const pid = await kept.started()
    const becomes = async (signal: NodeJS.Signals, state: string): Promise<void> => {
      process.kill(pid, signal)
      await eventually(`it is in state ${state}`, () => processStat(pid)?.state === state)
      kept.keeper.childChanged()
    }
    await becomes('SIGSTOP', 'T')
    mock.timers.tick(OPTIONS.stopped - 1)
    await becomes('SIGCONT', 'S')
    mock.timers.tick(VERY_LONG)
    kept.notify(['READY=1'])
    await becomes('SIGSTOP', 'T')
    mock.timers.tick(OPTIONS.stopped - 1)
    kept.notify(['WATCHDOG=1'])
    await becomes('SIGCONT', 'S')
    mock.timers.tick(OPTIONS.stopped)
    kept.notify(['WATCHDOG=1'])
    assert.deepEqual(kept.lines.slice(1), [`sh[${pid}] is ready`])
    await becomes('SIGSTOP', 'T')
    mock.timers.tick(OPTIONS.stopped)
    await kept.started()
    assert.deepEqual(kept.lines.slice(2, 4), [`sh[${pid}] was stopped for 30 s: SIGKILL`, `sh[${pid}] ended: SIGKILL`])
  })

  it('kills a program that was stopped before its first sign of life was heard, from which it is watched', async () => {
    await using kept = new KeptScript(WAITS, { watchedFrom: 'first sign' })
    const pid = await kept.started()
    await kept.stopped(pid)
    mock.timers.tick(VERY_LONG)
    kept.notify(['READY=1', 'WATCHDOG=1'])
    mock.timers.tick(OPTIONS.stopped)
    await kept.started()
    assert.equal(kept.lines[2], `sh[${pid}] was stopped for 30 s: SIGKILL`)
  })

  it('kills a program that is stopped before READY=1, from which it is to be watched', async () => {
    await using kept = new KeptScript(WAITS)
    const pid = await kept.started()
    await kept.stopped(pid)
    mock.timers.tick(OPTIONS.stopped)
    await kept.logged(/ended: SIGKILL/)
    assert.equal(kept.lines[1], `sh[${pid}] was stopped for 30 s: SIGKILL`)
  })

  for (const watchedFrom of ['ready', 'first sign'] as const) {
    it(`kills a program that was watched from its ${watchedFrom}, and is stopped when it is to end for an upgrade`, async () => {
      await using kept = new KeptScript(ignoring('HUP'), { watchedFrom })
      const pid = await kept.started()
      await kept.made('up')
      kept.notify(['READY=1', 'WATCHDOG=1'])
      kept.keeper.upgrade()
      await kept.stopped(pid)
      mock.timers.tick(OPTIONS.stopped)
      await kept.started()
      assert.equal(kept.lines[3], `sh[${pid}] was stopped for 30 s: SIGKILL`)
    })
  }

  it('watches a program that was not asked from its first WATCHDOG=1 on', async () => {
    await using kept = new KeptScript(WAITS, { watchedFrom: 'first sign' })
    await kept.started()
    kept.notify(['READY=1'])
    mock.timers.tick(VERY_LONG)
    assert.ok(!kept.lines.join().includes('watchdog'))
    kept.notify(['WATCHDOG=1'])
    mock.timers.tick(OPTIONS.watchdog)
    await kept.logged(/missed its watchdog: SIGABRT/)
    await kept.started()
  })

  it('takes another interval from WATCHDOG_USEC=, and watches no more at 0', async () => {
    await using kept = new KeptScript(WAITS)
    await kept.started()
    kept.notify(['READY=1'])
    kept.notify(['WATCHDOG_USEC=3000000'])
    mock.timers.tick(2999)
    kept.notify(['WATCHDOG_USEC=0'])
    mock.timers.tick(VERY_LONG)
    assert.ok(!kept.lines.join().includes('watchdog'))
    kept.notify(['WATCHDOG_USEC=2000000'])
    mock.timers.tick(2000)
    await kept.logged(/missed its watchdog: SIGABRT/)
    await kept.started()
  })

  it('takes WATCHDOG=trigger for a missed watchdog, but not before READY=1', async () => {
    await using kept = new KeptScript(WAITS)
    await kept.started()
    kept.notify(['WATCHDOG=trigger'])
    assert.equal(kept.lines.length, 1)
    kept.notify(['READY=1', 'WATCHDOG=trigger'])
    await kept.logged(/missed its watchdog: SIGABRT/)
    await kept.started()
  })

  it('kills a program that does not end at SIGABRT, and sends that once', async () => {
    await using kept = new KeptScript(ignoring('ABRT'))
    const pid = await kept.started()
    await kept.made('up')
    kept.notify(['READY=1'])
    mock.timers.tick(OPTIONS.watchdog)
    kept.notify(['WATCHDOG=1'])
    kept.notify(['WATCHDOG=trigger'])
    mock.timers.tick(OPTIONS.abortGrace - 1)
    assert.equal(kept.lines.at(-1), `sh[${pid}] missed its watchdog: SIGABRT`)
    mock.timers.tick(1)
    await kept.started()
    const [aborted, killed, ended] = kept.lines.slice(2)
    assert.deepEqual(
      [aborted, killed, ended],
      [`sh[${pid}] missed its watchdog: SIGABRT`, `sh[${pid}] did not end at SIGABRT: SIGKILL`, `sh[${pid}] ended: SIGKILL`],
    )
  })

  it('kills a program that does not stop in time, and gives it more time when it asks', async () => {
    await using kept = new KeptScript(ignoring('TERM'))
    const pid = await kept.started()
    await kept.made('up')
    // Nothing is to be prolonged yet.
    kept.notify(['EXTEND_TIMEOUT_USEC=1'])
    mock.timers.tick(VERY_LONG)
    assert.equal(kept.lines.length, 1)
    kept.keeper.stop()
    kept.notify([`EXTEND_TIMEOUT_USEC=${2 * OPTIONS.stopTimeout * 1000}`])
    // It never shortens the time.
    kept.notify(['EXTEND_TIMEOUT_USEC=1'])
    mock.timers.tick(2 * OPTIONS.stopTimeout - 1)
    assert.equal(kept.lines.at(-1), `stopping sh[${pid}]`)
    mock.timers.tick(1)
    assert.equal(await kept.over, 128 + 9)
    assert.ok(kept.lines.includes(`sh[${pid}] did not end in time: SIGKILL`))
  })

  it('kills a program that says STOPPING=1 and does not end, and starts it again', async () => {
    await using kept = new KeptScript(WAITS)
    const pid = await kept.started()
    kept.notify(['READY=1', 'STOPPING=1'])
    mock.timers.tick(OPTIONS.watchdog - 1)
    kept.notify(['WATCHDOG_USEC=0', 'STOPPING=1'])
    // The time runs from the first.
    mock.timers.tick(OPTIONS.stopTimeout - OPTIONS.watchdog + 1)
    await kept.started()
    assert.ok(kept.lines.includes(`sh[${pid}] did not end in time: SIGKILL`))
  })

  for (const [script, status] of [
    ['exit 7', 7],
    ['exit 0', 0],
    ['kill -TERM $$', 0],
    ['kill -INT $$', 0],
    ['kill -HUP $$', 0],
    ['kill -USR1 $$', 128 + 10],
    ['kill -KILL $$', 128 + 9],
  ] as const) {
    it(`exits with ${status} when it is stopped after its program's last '${script}'`, async () => {
      await using kept = new KeptScript(script)
      await kept.started()
      await kept.logged(/^starting sh again in 0\.1 s$/)
      kept.keeper.stop()
      assert.equal(await kept.over, status)
      mock.timers.tick(VERY_LONG)
      assert.ok(kept.lines.at(-1)?.startsWith('starting sh again'), 'nothing is started after the stop')
    })
  }

  it('waits for a program that is not there, longer each time, and starts at once at an upgrade', async () => {
    await using kept = new KeptScript('', {}, 'program')
    const file = join(kept.sandbox.path, 'program')
    const missing = `${file} does not exist or is not executable`
    mock.timers.tick(100)
    mock.timers.tick(199)
    assert.deepEqual(kept.lines, [missing, 'starting program again in 0.1 s', missing, 'starting program again in 0.2 s'])
    writeFileSync(file, '#!/bin/sh\nexec sleep 600\n')
    mock.timers.tick(1)
    assert.deepEqual(kept.lines.slice(4), [missing, 'starting program again in 0.4 s'])
    chmodSync(file, 0o755)
    kept.keeper.upgrade()
    await kept.started()
    mock.timers.tick(VERY_LONG)
    assert.equal(kept.lines.filter((line) => line.startsWith('started ')).length, 1)
  })

  it('starts the next program at once after an upgrade, though the first was never ready, and upgrades once at a time', async () => {
    await using kept = new KeptScript(`trap ': > "$0/hup"' HUP; : > "$0/up"; until [ -e "$0/end" ]; do sleep 0.02; done; exit 1`)
    const pid = await kept.started()
    await kept.made('up')
    kept.keeper.upgrade()
    kept.keeper.upgrade()
    await kept.made('hup')
    writeFileSync(join(kept.sandbox.path, 'end'), '')
    await kept.started()
    assert.deepEqual(kept.lines.slice(1, 3), [`restarting sh[${pid}]`, `sh[${pid}] ended: exit status 1`])
  })

  it('stops although an upgrade is under way, and upgrades no more then', async () => {
    await using kept = new KeptScript(ignoring('HUP'))
    const pid = await kept.started()
    await kept.made('up')
    kept.keeper.upgrade()
    kept.keeper.stop()
    kept.keeper.upgrade()
    kept.keeper.stop()
    assert.equal(await kept.over, 0)
    assert.deepEqual(kept.lines.slice(1, 4), [`restarting sh[${pid}]`, `stopping sh[${pid}]`, `sh[${pid}] ended: SIGTERM`])
  })

  it('hands over what was stored, and closes what only came along', async () => {
    await using kept = new KeptScript(WAITS)
    const pid = await kept.started()
    const [read, write] = libc.pipe()
    kept.notify(['READY=1', 'BARRIER=1'], [write])
    assert.equal(existsSync(`/proc/self/fd/${write}`), false)
    closeSync(read)
    const [a, b] = [kept.store('a'), kept.store('b')]
    kept.notify(['FDSTOREREMOVE=1', 'FDNAME=a'])
    process.kill(pid, 'SIGKILL')
    await kept.started(1)
    for (const fd of [a, b]) closeSync(fd)
  })

  it('stores what it is sent while no program runs', async () => {
    await using kept = new KeptScript('exit 1')
    await kept.started()
    await kept.logged(/^starting sh again/)
    const read = kept.store('late')
    mock.timers.tick(100)
    await kept.started(1)
    closeSync(read)
  })

  it('closes what is stored when no successor is ready in time from the first end on, and kills one that has it', async () => {
    await using kept = new KeptScript(WAITS)
    const first = await kept.started()
    kept.notify(['READY=1', 'WATCHDOG_USEC=0'])
    const read = kept.store('kept')
    process.kill(first, 'SIGKILL')
    const second = await kept.started(1)
    mock.timers.tick(1000)
    process.kill(second, 'SIGKILL')
    await kept.logged(/^starting sh again in 0\.1 s$/)
    mock.timers.tick(100)
    const third = await kept.started(1)
    // The second end did not begin the time anew.
    mock.timers.tick(OPTIONS.takeoverDeadline - 1101)
    assert.match(kept.lines.at(-1) ?? '', /^started /)
    mock.timers.tick(1)
    const [closed, killed] = kept.lines.slice(-2)
    assert.equal(closed, 'no successor was ready within 60 s: closed 1 descriptor: kept; their consumers get an error now')
    assert.equal(killed, `sh[${third}] was not ready in time: SIGKILL`)
    await kept.logged(new RegExp(`^sh\\[${third}\\] ended: SIGKILL`))
    closeSync(read)
  })

  it('keeps what is stored once a successor is ready, however long that lives', async () => {
    await using kept = new KeptScript(WAITS, { watchdog: 0 })
    const pid = await kept.started()
    kept.notify(['READY=1'])
    const read = kept.store('kept')
    process.kill(pid, 'SIGKILL')
    await kept.started(1)
    mock.timers.tick(OPTIONS.takeoverDeadline - 1)
    kept.notify(['READY=1'])
    mock.timers.tick(VERY_LONG)
    assert.match(kept.lines.at(-1) ?? '', /is ready$/)
    closeSync(read)
  })

  it('takes no process for the main one that is not the program’s, nor itself', async () => {
    await using kept = new KeptScript(WAITS)
    await kept.started()
    for (const pid of [1, process.pid]) {
      kept.notify([`MAINPID=${pid}`])
      assert.equal(kept.lines.at(-1), `process 0 names ${pid} as the main process: it is not one of the program’s processes`)
    }
  })

  it('ends with the process that MAINPID= names, and kills what is left', async () => {
    await using kept = new KeptScript(`sleep 600 & : > "$0/up"; exec sleep 600`)
    const pid = await kept.started()
    await kept.made('up')
    const [child] = childrenOf(pid)
    assert.ok(child !== undefined)
    kept.notify([`MAINPID=${child}`, 'READY=1'])
    process.kill(child, 'SIGKILL')
    await kept.started()
    assert.ok(kept.lines.includes(`sh[${child}] ended: its status went to its parent`), kept.lines.join('\n'))
    assert.ok(kept.lines.some((line) => line.endsWith(` processes that sh[${child}] left behind`)))
    await eventually('the first process is gone too', () => processStat(pid) === undefined)
  })

  it('logs a status when it changes', async () => {
    await using kept = new KeptScript(WAITS)
    const pid = await kept.started()
    for (const text of ['one', 'one', 'two', 'two']) kept.notify([`STATUS=${text}`])
    assert.deepEqual(kept.lines.slice(1), [`sh[${pid}]: one`, `sh[${pid}]: two`])
  })
})
