import { randomBytes } from 'node:crypto'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { closeInThread } from '../os/descriptors/close-in-thread.ts'
import { describeEnd } from '../os/processes/child-program.ts'
import type { Command, Passed } from './command.ts'
import { Deadline } from './deadline.ts'
import { FdStore } from './fd-store.ts'
import { FdStoreManager } from './fd-store-manager.ts'
import { EXEC_FAILED, type Launcher } from '../os/processes/launcher.ts'
import { type MainEnd, MainProcess, type MainProcessContext } from './main-process.ts'
import { RestartDelay } from '../os/processes/restart-delay.ts'
import type { Notice } from '../sd/notify-message.ts'
import { NotifySocket, type NotifySenderId } from '../sd/notify-socket.ts'
import { processStat } from '../os/processes/processes.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'

/** Times in milliseconds. */
export interface KeeperOptions {
  readonly storeMax: number
  /** After which ends the program is started again: also when it ends by itself, or only when a signal ends it. Any other end is the keeper's end then. */
  readonly restart: 'always' | 'after a signal'
  /** The longest silence of the program; 0: any. */
  readonly watchdog: number
  /** What the watchdog waits for first: READY=1, or the program's first WATCHDOG=1. A program that never says it is not watched then. */
  readonly watchedFrom: 'ready' | 'first sign'
  readonly stopTimeout: number
  readonly takeoverDeadline: number
  /** Between SIGABRT for a program that missed its watchdog and SIGKILL. */
  readonly abortGrace: number
  /** How long a watched program may be stopped by a signal (SIGSTOP). */
  readonly stopped: number
  /** For what is left after SIGKILL. */
  readonly lastWait: number
  /** Called each time the program has said that it is ready. */
  readonly ready?: (() => void) | undefined
}

/** One life of the program. */
interface Life {
  readonly main: MainProcess
  readyAt?: number
  /** Whether it has been watched. */
  watched?: true
  status?: string
}

/** Runs a program again and again, and keeps its descriptors from one life to the next. */
export class Keeper {
  readonly #command: Command
  readonly #launcher: Launcher
  readonly #sockets: readonly Passed[]
  readonly #context: MainProcessContext
  readonly #options: KeeperOptions
  readonly #log: Logger
  readonly #rateLimitedLog: RateLimitedLog
  readonly #storeManager: FdStoreManager
  readonly #notify: NotifySocket
  readonly #restartDelay = new RestartDelay()
  readonly #ended = Promise.withResolvers<number>()
  readonly #restart = new Deadline(() => this.#start())
  /** When a program that got SIGTERM or SIGHUP is killed. */
  readonly #patience = new Deadline(() => this.#kill('did not end in time'))
  readonly #watchdog = new Deadline((late) => this.#silent(late))
  readonly #abortGrace = new Deadline(() => this.#kill('did not end at SIGABRT'))
  readonly #stopped = new Deadline(() => {
    if (this.#isStopped()) this.#kill(`was stopped for ${this.#options.stopped / 1000} s`)
  })
  #watchdogInterval = 0
  #life: Life | undefined
  #intent: 'run' | 'upgrade' | 'stop' = 'run'
  #lastEnd: MainEnd = { status: 0, signal: null }

  /** `sockets`, as they are when the program is started, are passed before what is stored. Throws SystemError. */
  constructor(
    command: Command,
    launcher: Launcher,
    sockets: readonly Passed[],
    context: MainProcessContext,
    options: KeeperOptions,
    log: Logger,
  ) {
    this.#command = command
    this.#launcher = launcher
    this.#sockets = sockets
    this.#context = context
    this.#options = options
    this.#log = log
    this.#rateLimitedLog = new RateLimitedLog(log)
    const giveUp = (): void => {
      if (this.#life?.readyAt === undefined) this.#kill('was not ready in time')
    }
    const store = new FdStore(context.libc, options.storeMax)
    this.#storeManager = new FdStoreManager(store, options.takeoverDeadline, giveUp, log, this.#rateLimitedLog)
    const mayNotify = ({ pid }: NotifySenderId): boolean =>
      pid !== 0 && (pid === this.#life?.main.pid || context.tree.contains(pid))
    const notice: typeof this.notice = (...args) => this.notice(...args)
    // Abstract, so that it leaves no file behind, however the process ends. Every process of the network namespace can send to it; the kernel tells
    // the sender.
    const address = `@dummy-fuse-keep/${randomBytes(12).toString('hex')}`
    this.#notify = new NotifySocket(context.libc, address, { mayNotify, notice }, this.#rateLimitedLog)
  }

  /** Resolves to the exit status once a stop was requested and every process has ended. */
  async run(): Promise<number> {
    const { watch } = this.#context
    watch.add(this.#notify.fd, () => this.#notify.drain())
    const watching = watch.run()
    this.#start()
    const status = await this.#ended.promise
    watch.end()
    await watching
    this.#notify.close()
    return status
  }

  /** Ends the program and then itself. */
  stop(): void {
    if (this.#intent === 'stop') return
    this.#intent = 'stop'
    this.#restart.clear()
    this.#watchdog.clear()
    this.#storeManager.takenOver()
    if (this.#life === undefined) {
      this.#finish()
      return
    }
    this.#log.info(`stopping ${this.#title()}`)
    this.#patience.set(this.#options.stopTimeout)
    this.#life.main.signal('SIGTERM')
  }

  /** Has the program end by SIGHUP and starts what is at its path then. */
  upgrade(): void {
    if (this.#intent !== 'run') return
    if (this.#life === undefined) {
      this.#start()
      return
    }
    this.#intent = 'upgrade'
    this.#log.info(`restarting ${this.#title()}`)
    this.#watchdog.clear()
    this.#patience.set(this.#options.stopTimeout)
    this.#life.main.signal('SIGHUP')
  }

  /**
   * To be called at SIGCHLD, by which the kernel tells that a child was stopped or goes on. A stopped program cannot answer SIGABRT, and sends nothing: it is not
   * left to the watchdog, whose time is for a busy machine, nor to the time for its start and for SIGHUP. One that is not to be watched may be stopped for as long as its
   * user wants.
   */
  childChanged(): void {
    if (!this.#isStopped()) this.#stopped.clear()
    else if (this.#isToBeWatched() && !this.#stopped.armed) this.#stopped.set(this.#options.stopped)
  }

  forward(signal: NodeJS.Signals): void {
    this.#life?.main.signal(signal)
  }

  /** Handles a message of one of our processes. */
  notice(notice: Notice, descriptors: readonly number[], pid: number): void {
    const { store, remove } = notice
    if (store !== undefined) this.#storeManager.add(store.name, store.poll, descriptors)
    // A barrier's pipe end is closed here: all that came before it has been handled.
    else for (const fd of descriptors) closeInThread(this.#context.libc, fd)
    if (remove !== undefined) this.#storeManager.remove(remove)
    const life = this.#life
    if (life === undefined) return
    if (notice.mainPid !== undefined) this.#follow(life, notice.mainPid, pid)
    if (notice.ready) this.#ready(life)
    if (notice.status !== undefined && notice.status !== life.status) {
      life.status = notice.status
      this.#rateLimitedLog.info('status', `${this.#title()}: ${notice.status}`)
    }
    if (notice.extendTimeout !== undefined) this.#patience.extend(notice.extendTimeout)
    if (notice.stopping && !this.#patience.armed) this.#patience.set(this.#options.stopTimeout)
    this.#watched(life, notice)
  }

  #start(): void {
    if (this.#intent === 'stop') return
    this.#intent = 'run'
    this.#restart.clear()
    this.#storeManager.prune()
    const path = this.#command.find()
    if (path === undefined) {
      this.#retry(`${this.#command.given} does not exist or is not executable`)
      return
    }
    const passed = [...this.#sockets, ...this.#storeManager.entries]
    this.#watchdogInterval = this.#options.watchdog
    const execution = this.#command.execution(this.#launcher.path, path, passed, {
      notify: this.#notify.address,
      storeMax: this.#options.storeMax,
      watchdog: this.#watchdogInterval,
    })
    const main = new MainProcess(this.#context, execution, (end) => {
      this.#onEnd(life, end)
    })
    const life: Life = { main }
    this.#life = life
    this.#log.info(`started ${this.#title()} with ${passed.length} descriptors`)
  }

  /** From its start, or from its first sign of life. */
  #isToBeWatched(): boolean {
    const known = this.#options.watchedFrom === 'ready' || this.#life?.watched === true
    return known && this.#watchdogInterval > 0 && this.#intent !== 'stop'
  }

  #isStopped(): boolean {
    return this.#life !== undefined && processStat(this.#life.main.pid)?.state === 'T'
  }

  #ready(life: Life): void {
    if (life.readyAt !== undefined) return
    life.readyAt = performance.now()
    this.#storeManager.takenOver()
    this.#log.info(`${this.#title()} is ready`)
    this.#options.ready?.()
    const watched = this.#watchdogInterval > 0 && this.#options.watchedFrom === 'ready'
    if (this.#intent === 'run' && watched) this.#watch()
  }

  #watched(life: Life, { watchdog, watchdogInterval }: Notice): void {
    if (watchdogInterval !== undefined) this.#watchdogInterval = watchdogInterval
    if (life.readyAt === undefined || this.#intent !== 'run' || this.#abortGrace.armed) return
    if (watchdog === 'trigger') this.#abort()
    else if (this.#watchdogInterval === 0) this.#watchdog.clear()
    else if (watchdog === 'alive' || watchdogInterval !== undefined) this.#watch()
    if (watchdog === 'alive') this.#storeManager.prune()
  }

  /** Begins to watch the program, or waits for its next sign. It may have been stopped since it sent this one. */
  #watch(): void {
    if (this.#life !== undefined) this.#life.watched = true
    this.#watchdog.set(this.#watchdogInterval)
    this.childChanged()
  }

  #follow(life: Life, pid: number, sender: number): void {
    try {
      if (pid === process.pid || !this.#context.tree.contains(pid)) throw new Error('it is not one of the program’s processes')
      life.main.follow(pid)
    } catch (error) {
      this.#rateLimitedLog.warning('main', `process ${sender} names ${pid} as the main process: ${messageOf(error)}`)
    }
  }

  #onEnd(life: Life, end: MainEnd): void {
    // What it said before it died counts, the descriptors that it gave us above all.
    this.#notify.drain()
    const title = this.#title()
    this.#life = undefined
    for (const deadline of [this.#patience, this.#watchdog, this.#abortGrace, this.#stopped]) deadline.clear()
    this.#lastEnd = end
    this.#log.info(`${title} ended: ${describe(end)}`)
    const left = this.#context.tree.killAll()
    if (left > 0) this.#log.warning(`killed ${left} processes that ${title} left behind`)
    if (this.#intent === 'stop' || (this.#options.restart === 'after a signal' && end.signal === null)) {
      this.#intent = 'stop'
      this.#finish()
      return
    }
    this.#storeManager.orphaned()
    const alive = life.readyAt === undefined ? undefined : performance.now() - life.readyAt
    const delay = this.#intent === 'upgrade' ? 0 : this.#restartDelay.after(alive, end.signal !== 'SIGKILL')
    if (delay === 0) this.#start()
    else this.#putOff(delay)
  }

  #retry(problem: string): void {
    this.#log.error(problem)
    this.#storeManager.orphaned()
    this.#putOff(this.#restartDelay.after(undefined, true))
  }

  #putOff(delay: number): void {
    this.#intent = 'run'
    this.#log.info(`starting ${this.#command.name} again in ${delay / 1000} s`)
    this.#restart.set(delay)
  }

  /** The program has sent nothing for the watchdog's time. A keeper that was stopped itself has not listened for that long, and waits once more. */
  #silent(late: number): void {
    this.#notify.drain()
    if (this.#watchdog.armed || this.#life === undefined) return
    if (late > this.#options.stopped) this.#watch()
    else this.#abort()
  }

  #abort(): void {
    this.#watchdog.clear()
    this.#log.error(`${this.#title()} missed its watchdog: SIGABRT`)
    this.#abortGrace.set(this.#options.abortGrace)
    this.#life?.main.signal('SIGABRT')
  }

  #kill(why: string): void {
    if (this.#life === undefined) return
    this.#log.error(`${this.#title()} ${why}: SIGKILL`)
    this.#life.main.signal('SIGKILL')
    this.#context.tree.killAll()
  }

  #finish(): void {
    this.#endAll().catch(this.#ended.reject)
  }

  async #endAll(): Promise<void> {
    const { tree } = this.#context
    const end = performance.now() + this.#options.lastWait
    while (!tree.empty && performance.now() < end) {
      tree.killAll()
      await sleep(10)
    }
    if (!tree.empty) this.#log.warning('a process does not end, not even by SIGKILL; it waits for a file system or a device')
    this.#storeManager.close()
    this.#ended.resolve(exitStatus(this.#lastEnd))
  }

  #title(): string {
    return `${this.#command.name}[${this.#life?.main.pid ?? 0}]`
  }
}

function describe(end: MainEnd): string {
  if (end.problem !== undefined) return end.problem
  if (end.signal === null && end.status === null) return 'its status went to its parent'
  return end.status === EXEC_FAILED ? `${describeEnd(end)} (as when its file cannot be executed)` : describeEnd(end)
}

/** A program that a signal to stop ended has ended as it should (systemd.service(5), SuccessExitStatus=). */
function exitStatus({ status, signal, problem }: MainEnd): number {
  if (problem !== undefined) return 1
  if (signal === null) return status ?? 0
  return signal === 'SIGTERM' || signal === 'SIGINT' || signal === 'SIGHUP' ? 0 : 128 + constants.signals[signal]
}
