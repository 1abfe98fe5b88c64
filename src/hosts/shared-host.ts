import { type CallContext, isCallEnded, RunningCall, unlessAborted } from '../call-context.ts'
import type { Logger } from '../log.ts'
import { describeEnd } from '../os/processes/child-program.ts'
import { processesNamed, type ProcessStat, runsOurExecutable, sharesMounts } from '../os/processes/processes.ts'
import { hasListener } from '../os/sockets/unix-socket.ts'
import { DUMMY_FUSED, type Execution } from './daemon-process.ts'
import type { DaemonStarter } from './daemon-starter.ts'
import { endDaemon, toDaemon } from './found-daemon.ts'
import { fuseDeviceProblem } from './fuse-device.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'
import { NotRunning, type ServiceHost } from './service-host.ts'

/** The limits of a shared host; times are milliseconds. */
export interface SharedLimits {
  /** In which a dummy-fused serves its socket; after that it is killed. */
  readonly serviceStart: number
  /** The part of that time that is kept for the kill. */
  readonly callMargin: number
  /** After which a dummy-fused that answers nothing is killed. */
  readonly silence: number
}

/**
 * `--daemons shared`: one dummy-fused for all volumes of this plugin, which starts it when a volume is to be mounted and none runs. Its command
 * decides whether it ends with the plugin. The plugin finds a dummy-fused that outlived the previous plugin at its socket.
 */
export class SharedHost implements FuseHost {
  readonly #service: ServiceHost
  readonly #socket: string
  readonly #execution: Execution
  readonly #starter: DaemonStarter
  readonly #limits: SharedLimits
  readonly #log: Logger
  /** The start under way. All calls share it, and it goes on when one of them ends. */
  #starting: Promise<void> | undefined
  /** When dummy-fused first left a call unanswered, with no answer since (performance.now()). */
  #silentSince: number | undefined

  /** `socket`: of the dummy-fused that `service` calls and that `execution` starts. */
  constructor(
    service: ServiceHost,
    socket: string,
    execution: Execution,
    starter: DaemonStarter,
    limits: SharedLimits,
    log: Logger,
  ) {
    this.#service = service
    this.#socket = socket
    this.#execution = execution
    this.#starter = starter
    this.#limits = limits
    this.#log = log
  }

  async start(path: string, options: readonly string[], call: CallContext): Promise<Daemon | undefined> {
    await this.#endIfSilent(path, call)
    const mount = async (): Promise<Daemon | undefined> => await this.#heard(this.#service.start(path, options, call))
    try {
      return await mount()
    } catch (error) {
      if (!(error instanceof NotRunning)) throw error
    }
    await this.#run(call)
    try {
      return await mount()
    } catch (error) {
      // A mount that makes the daemon end is not tried again, because the daemon ends the sessions of all volumes with it.
      if (!(error instanceof NotRunning)) throw error
      throw new HostError('unavailable', `dummy-fused ended while it mounted ${path}; call again`, { cause: error })
    }
  }

  async daemonAt(path: string, device: string | undefined, call: CallContext, maxAge?: number): Promise<Daemon | undefined> {
    const daemon = await this.#seenAt(path, device, call, maxAge)
    // A call without maxAge is about to mount, and would kill a stopped daemon for the one volume.
    if (maxAge !== undefined || daemon?.stopped !== true) return daemon
    this.#silentSince ??= performance.now()
    await this.#endIfSilent(path, call)
    return await this.#service.daemonAt(path, device, call)
  }

  /** Unmounts the session. The daemon goes on for the other volumes. */
  async stop(path: string, device: string | undefined, grace: number, call: CallContext): Promise<void> {
    await this.#endIfSilent(path, call)
    await this.#heard(this.#service.stop(path, device, grace, call))
  }

  unavailableReason(): string | undefined {
    return fuseDeviceProblem()
  }

  /** The daemon of a path by its own answer, or by /proc if it is stopped. */
  async #seenAt(
    path: string,
    device: string | undefined,
    call: CallContext,
    maxAge: number | undefined,
  ): Promise<Daemon | undefined> {
    try {
      const daemon = await this.#service.daemonAt(path, device, call, maxAge)
      if (daemon?.stopped !== true) this.#silentSince = undefined
      return daemon
    } catch (error) {
      if (!gotNoAnswer(error)) throw error
      const daemons = this.#processes().map(toDaemon)
      const stopped = daemons.find((one) => one?.stopped === true)
      if (stopped !== undefined) return stopped
      this.#silentSince ??= performance.now()
      if (maxAge !== undefined || call.signal.aborted) throw error
    }
    await this.#judge(call)
    return await this.#service.daemonAt(path, device, call)
  }

  /** Starts a dummy-fused, or waits for the start under way. Rejects with HostError, or the reason of the call's signal. */
  async #run(call: CallContext): Promise<void> {
    if (this.#starting === undefined) {
      this.#starting = this.#startOne().finally(() => {
        this.#starting = undefined
      })
      // Each call that still waits gets the rejection.
      this.#starting.catch(() => undefined)
    }
    try {
      await unlessAborted(this.#starting, call.signal)
    } catch (error) {
      if (!isCallEnded(error) || error.kind === 'cancelled') throw error
      throw new HostError('unavailable', 'dummy-fused is still being started; call again', { cause: error })
    }
  }

  async #startOne(): Promise<void> {
    const { serviceStart, callMargin } = this.#limits
    using time = new RunningCall(serviceStart, { margin: callMargin })
    try {
      const daemon = await this.#starter.start(this.#execution, time, undefined, DUMMY_FUSED)
      daemon.onceFree(() => {
        this.#log.error(
          `dummy-fused[${daemon.pid}] ended: ${describeEnd(daemon.end)}; the sessions of all volumes have ended with it, and each volume is mounted again when it is staged or published`,
        )
      })
    } catch (error) {
      // A dummy-fused that the previous plugin had begun to start may listen.
      if (!(await hasListener(this.#socket).catch(() => false))) throw error
    }
  }

  /** Notes whether the daemon has answered. */
  async #heard<T>(answer: Promise<T>): Promise<T> {
    try {
      const answered = await answer
      this.#silentSince = undefined
      return answered
    } catch (error) {
      if (gotNoAnswer(error)) this.#silentSince ??= performance.now()
      throw error
    }
  }

  /**
   * Kills a dummy-fused that has answered nothing for the time of silence, because all of its volumes hang. One that has been silent for less is not
   * killed for one volume: rejects with HostError `unavailable` then.
   */
  async #endIfSilent(path: string, call: CallContext): Promise<void> {
    if (this.#silentSince === undefined) return
    // The other half is for the kill and the next start.
    using question = new RunningCall(call.remaining() / 2, { margin: 0 })
    try {
      await this.#service.ask(path, question)
      this.#silentSince = undefined
    } catch (error) {
      if (!gotNoAnswer(error)) throw error
      call.signal.throwIfAborted()
      await this.#judge(call)
    }
  }

  /** Kills a dummy-fused that has not answered, if it has been silent for long enough. Rejects with HostError `unavailable` if not. */
  async #judge(call: CallContext): Promise<void> {
    const { silence } = this.#limits
    if (performance.now() - (this.#silentSince ?? Infinity) < silence) {
      throw new HostError(
        'unavailable',
        `the dummy-fused of all volumes does not answer; resume it if it is stopped (kill -CONT); after ${silence / 1000} s without an answer it is killed, and a call starts the next one`,
      )
    }
    for (const stat of this.#processes()) {
      this.#log.error(
        `dummy-fused[${stat.pid}] has answered nothing for ${silence / 1000} s and is killed; the sessions of all volumes end with it`,
      )
      if (!(await endDaemon(stat, 0, call.remaining())))
        throw new HostError('unavailable', 'the dummy-fused of all volumes was killed, but is still in the kernel; call again')
    }
    this.#silentSince = undefined
  }

  /** The processes that were started to listen on the socket. */
  #processes(): readonly ProcessStat[] {
    const named = processesNamed('dummy-fused').filter(({ args }) => args.includes(this.#socket))
    return named.map(({ stat }) => stat).filter(({ pid }) => sharesMounts(pid) && runsOurExecutable(pid))
  }
}

/** Whether a call to the daemon has ended because its time was over. */
function gotNoAnswer(error: unknown): boolean {
  return error instanceof HostError ? error.kind === 'timeout' : isCallEnded(error) && error.kind === 'deadline'
}
