import type { CallContext } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { STATUS } from '../os/processes/exit-status.ts'
import { processStat } from '../os/processes/processes.ts'
import { DaemonProcess, DUMMY_FUSE, type Execution, type StartedProgram } from './daemon-process.ts'

/** The limits of starting daemons in scopes, in milliseconds. */
export interface ScopeLimits {
  /** How long systemd may take to give a scope. */
  readonly scopeWait: number
  /** After a start for which systemd gave none, how long it is not asked. */
  readonly scopeRetry: number
}

/** What becomes of daemons without a scope. */
export const PLAIN = 'daemons are started in sessions of their own, and systemd ends them when it stops the unit of this plugin'

/** Chooses whether daemons are started in scopes of systemd: not for some time after systemd has given none, which is logged once. */
export class ScopeChoice {
  readonly #limits: Pick<ScopeLimits, 'scopeRetry'>
  readonly #log: Logger
  /** When systemd last gave no scope (performance.now()). */
  #refusedAt: number | undefined
  #said = false

  constructor(limits: Pick<ScopeLimits, 'scopeRetry'>, log: Logger) {
    this.#limits = limits
    this.#log = log
  }

  /** How a daemon is to be executed now: without a scope while systemd gives none. */
  choose<E extends { readonly plain?: E }>(execution: E): E {
    const refused = this.#refusedAt !== undefined && performance.now() - this.#refusedAt < this.#limits.scopeRetry
    return refused ? (execution.plain ?? execution) : execution
  }

  /** Systemd has given a scope. */
  given(): void {
    this.#refusedAt = undefined
    this.#said = false
  }

  /** Systemd has given no scope, for a reason in words. */
  refused(reason: string): void {
    this.#refusedAt = performance.now()
    if (this.#said) return
    this.#said = true
    this.#log.warning(`systemd gives no scope to a daemon (${reason}): ${PLAIN}`)
  }
}

/**
 * Starts daemons, each in a transient scope of systemd if its execution has one. If systemd gives no scope (its bus is missing or hangs, or it
 * refuses), the daemon is started in a plain session of its own, and that is logged once.
 */
export class DaemonStarter {
  readonly #limits: ScopeLimits
  readonly #log: Logger
  readonly #scopes: ScopeChoice

  constructor(limits: ScopeLimits, log: Logger) {
    this.#limits = limits
    this.#log = log
    this.#scopes = new ScopeChoice(limits, log)
  }

  /** As {@link ScopeChoice.choose} does. */
  choose(execution: Execution): Execution {
    return this.#scopes.choose(execution)
  }

  /**
   * Starts a daemon with the arguments of the execution, and resolves once it is ready. Rejects with HostError, or the reason of the call's signal;
   * then it has ended. `onMounting` is called when it has started and waits for its storage.
   */
  async start(execution: Execution, call: CallContext, onMounting?: () => void, program = DUMMY_FUSE): Promise<DaemonProcess> {
    const chosen = this.choose(execution)
    if (chosen.plain === undefined) return await this.#plainly(chosen, call, onMounting, program)
    this.#announce(chosen, program)
    const daemon = new DaemonProcess(chosen, 'serving', this.#log, program)
    const reason = await this.#scoped(daemon, call, onMounting)
    if (reason === undefined) {
      this.#scopes.given()
      return daemon
    }
    this.#scopes.refused(reason)
    return await this.#plainly(chosen.plain, call, onMounting, program)
  }

  async #plainly(
    execution: Execution,
    call: CallContext,
    onMounting: (() => void) | undefined,
    program: StartedProgram,
  ): Promise<DaemonProcess> {
    call.signal.throwIfAborted()
    this.#announce(execution, program)
    const daemon = new DaemonProcess(execution, 'serving', this.#log, program)
    const outcome = await daemon.ready(call, onMounting)
    if (outcome === 'ready') return daemon
    throw daemon.failure(outcome)
  }

  /** Resolves once the daemon is ready, or to why systemd gave it no scope. Rejects as {@link start} does. */
  async #scoped(daemon: DaemonProcess, call: CallContext, onMounting: (() => void) | undefined): Promise<string | undefined> {
    const systemd: { hangs: boolean } = { hangs: false }
    const timer = setTimeout(() => {
      systemd.hangs = isSystemdRun(daemon.pid)
      if (systemd.hangs) daemon.kill()
    }, this.#limits.scopeWait)
    try {
      const outcome = await daemon.ready(call, onMounting)
      if (outcome === 'ready') return undefined
      if (systemd.hangs) return `systemd-run has not answered within ${this.#limits.scopeWait / 1000} s`
      // systemd-run ended with EXIT_FAILURE, and the daemon has sent no message.
      const failure = daemon.failure(outcome)
      if (outcome.status !== STATUS.failed || daemon.spoke) throw failure
      return failure.message
    } catch (error) {
      // systemd-run is not there any more.
      if (daemon.pid === 0) return messageOf(error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  #announce(execution: Execution, { name }: StartedProgram): void {
    this.#log.info(`exec ${name} [${execution.args.join(' ')}]`)
  }
}

/** Whether a process that was started as systemd-run has not executed its program yet. */
function isSystemdRun(pid: number): boolean {
  return processStat(pid)?.comm === 'systemd-run'
}
