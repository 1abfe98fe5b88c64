import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { CallError, GrpcClient } from '../grpc/client.ts'
import { type CallContext, isCallEnded, RunningCall, timeToAnswer, unlessAborted } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { isRunnable } from '../os/processes/processes.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { hasListener } from '../os/sockets/unix-socket.ts'
import { Fused } from '../rpc/fused_pb.ts'
import { findServing, toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError, type HostErrorKind, type SessionAdvice } from './host.ts'
import { ServedSessions } from './served-sessions.ts'

/** The limits of a service host; times are milliseconds. */
export interface ServiceLimits {
  /** In which dummy-fused answers a question about its sessions; after that it is hung. */
  readonly question: number
  /** The same for a call that acts on the answer, within the time of the call: its client would only call again. */
  readonly actingQuestion: number
  /** For which an answer of dummy-fused counts. */
  readonly answerAge: number
  /** Between two attempts to call a dummy-fused that is being replaced, and between two looks at one that is silent. */
  readonly retryPause: number
  /** In which a dummy-fused answers a question about health, unless it is seen to be busy; after that the mount itself is asked. */
  readonly healthAnswer: number
  /** How many looks must find no runnable thread of a silent dummy-fused before it counts as hung. */
  readonly idleLooks: number
}

/** A question about the sessions at these paths, or about all sessions. */
interface Question {
  readonly paths: Set<string>
  all: boolean
  /** Milliseconds that the most patient of its askers waits. */
  time: number
  readonly answered: Promise<void>
}

/** No process listens on dummy-fused's socket: neither the daemon nor a service manager that would start it. */
export class NotRunning extends HostError {
  constructor(message: string, options: ErrorOptions) {
    super('unavailable', message, options)
  }
}

/** `--fuse-host service`: dummy-fused serves the sessions. It survives the plugin, and its sessions survive dummy-fused. */
export class ServiceHost implements FuseHost {
  readonly advice: SessionAdvice = {
    hung: 'wait: the watchdog of keep or systemd ends a dummy-fused or a standby that hangs, its successor goes on, and no consumer needs a restart',
    dead: 'restart its consumers: the volume is mounted again when it is published',
  }
  readonly #socket: string
  readonly #faults: readonly string[]
  readonly #limits: ServiceLimits
  readonly #log: Logger
  readonly #sessions = new ServedSessions()
  #client: GrpcClient | undefined
  /** Settles, and never rejects, when the last question has been answered or has failed. */
  #underWay: Promise<void> | undefined
  /** The question that is asked in the next turn of the event loop, for all calls of this turn. */
  #next: Question | undefined

  /** `faults`: injected into every session, as `dummy-fuse --inject` takes them. */
  constructor(socket: string, faults: readonly string[], limits: ServiceLimits, log: Logger) {
    this.#socket = socket
    this.#faults = faults
    this.#limits = limits
    this.#log = log
  }

  async start(path: string, options: readonly string[], call: CallContext): Promise<Daemon | undefined> {
    this.#log.info(`ask dummy-fused to mount ${path}`)
    const request = { path, options: [...options], faults: [...this.#faults] }
    const askedAt = performance.now()
    this.#sessions.mounted(await this.#call(Fused.method.mount, request, call), askedAt)
    return this.#sessions.at(path)
  }

  async daemonAt(path: string, device: string | undefined, call: CallContext, maxAge?: number): Promise<Daemon | undefined> {
    const sessions = this.#sessions
    // A stopped process, which /proc tells, answers nothing.
    const counts = (daemon: Daemon): boolean =>
      // Whether a process that is not seen still runs is asked anew.
      daemon.pid !== undefined &&
      (daemon.stopped || (maxAge === undefined ? sessions.answeredWithin(this.#limits.answerAge) : sessions.listedWithin(maxAge)))
    const known = sessions.at(path)
    if (known !== undefined && counts(known)) return known
    // The answer to a question that is not asked yet is young enough for what is asked anew.
    const isNext = known !== undefined && known.pid === undefined && this.#next !== undefined
    if (maxAge !== undefined && this.#underWay !== undefined && !isNext) {
      const stopped = await this.#unlessSilent(unlessAborted(this.#underWay, call.signal), device, call)
      if (stopped !== undefined) return stopped
      const answered = sessions.at(path)
      if (answered !== undefined && counts(answered)) return answered
    }
    if (maxAge === undefined) {
      await this.ask(path, call)
      return sessions.at(path)
    }
    // The health of one volume is asked together with that of others.
    const asked = this.#ask(path, call, { time: this.#limits.question, all: !sessions.complete })
    return (await this.#unlessSilent(asked, device, call)) ?? sessions.at(path)
  }

  /**
   * Asks dummy-fused what it serves at a path, for a call that acts, even if its last answer is young. Calls of one turn of the event loop share a
   * question. Rejects with HostError if dummy-fused does not answer in time, or with the reason of the call's signal; resolves if none runs.
   */
  async ask(path: string, call: CallContext): Promise<void> {
    await this.#ask(path, call, { time: Math.min(this.#limits.actingQuestion, call.remaining()), all: false })
  }

  /** What serves each path of every session, by one question. Rejects with HostError if dummy-fused does not answer. */
  async all(): Promise<ReadonlyMap<string, Daemon>> {
    await this.#list([], this.#limits.question)
    return this.#sessions.all()
  }

  /** A session that hangs while no dummy-fused can be asked: the next one, or a standby, may serve it soon. */
  async silence(path: string, device: string, time = Infinity): Promise<string | undefined> {
    using question = new RunningCall(Math.min(this.#limits.healthAnswer, time), { margin: 0 })
    try {
      await this.#hear([path], question)
    } catch (error) {
      const standby = '; its standby has the session and does not serve it: resume that, or restart its container'
      return `${messageOf(error)}${error instanceof NotRunning ? standby : ''}`
    }
    return this.#sessions.at(path)?.device === device ? 'dummy-fused serves it again; call again' : undefined
  }

  async stop(path: string, _device: string | undefined, grace: number, call: CallContext): Promise<void> {
    this.#sessions.forget(path)
    try {
      await this.#call(Fused.method.unmount, { path, graceMs: grace }, call)
    } catch (error) {
      if (!(error instanceof NotRunning)) throw error
    }
  }

  /**
   * None: a standby serves the sessions while dummy-fused is away, and what is to be mounted is UNAVAILABLE meanwhile. Its pod has /dev/fuse, and perhaps not
   * the plugin's.
   */
  unavailableReason(): string | undefined {
    return undefined
  }

  /**
   * Waits for the answer to a question about health. Resolves to the daemon of a device where it is seen to be stopped. Rejects with HostError `timeout` where it
   * is silent; one that is seen to be busy has longer. The question goes on. As much time as an answer has is left for the mount.
   */
  async #unlessSilent(answer: Promise<void>, device: string | undefined, call: CallContext): Promise<Daemon | undefined> {
    const { healthAnswer } = this.#limits
    const rest = (): number => Math.max(timeToAnswer(call) - healthAnswer, 0)
    if ((await settledWithin(answer, Math.min(healthAnswer, rest()))) !== 'late') return undefined
    const serving = device === undefined ? undefined : findServing(device)
    const daemon = toDaemon(serving)
    if (daemon?.stopped === true && device !== undefined) return { ...daemon, device, serves: 'many' }
    for (let look = 1; serving === undefined || !isRunnable(serving.pid); look++) {
      if (serving === undefined || look === this.#limits.idleLooks) throw notAnswered(healthAnswer)
      if ((await settledWithin(answer, this.#limits.retryPause)) !== 'late') return undefined
    }
    if ((await settledWithin(answer, rest())) === 'late') throw notAnswered(healthAnswer)
    return undefined
  }

  /** `time`: milliseconds. Rejects with HostError, `timeout` if there is no answer within that time or that of the call; and when its client is gone. */
  async #ask(path: string, call: CallContext, { time, all }: Pick<Question, 'time' | 'all'>): Promise<void> {
    const question = (this.#next ??= this.#newQuestion())
    question.paths.add(path)
    question.all ||= all
    question.time = Math.max(question.time, time)
    try {
      if ((await settledWithin(unlessAborted(question.answered, call.signal), time)) !== 'late') return
    } catch (error) {
      if (!isCallEnded(error) || error.kind === 'cancelled') throw error
    }
    throw notInTime()
  }

  #newQuestion(): Question {
    const question: Question = {
      paths: new Set(),
      all: false,
      time: 0,
      answered: setImmediate().then(async () => {
        this.#next = undefined
        await this.#list(question.all ? [] : [...question.paths], question.time)
      }),
    }
    this.#mark(question.answered)
    return question
  }

  #mark(question: Promise<unknown>): void {
    const settled = question.then(nothing, nothing).then(() => {
      if (this.#underWay === settled) this.#underWay = undefined
    })
    this.#underWay = settled
  }

  /** Asks what is served at these paths, or at all if none is named. Rejects with HostError if dummy-fused does not answer in time. */
  async #list(paths: readonly string[], time: number): Promise<void> {
    using question = new RunningCall(time, { margin: 0 })
    try {
      await this.#hear(paths, question)
    } catch (error) {
      if (!(error instanceof NotRunning)) throw error
      this.#sessions.clear()
    }
  }

  /** Asks once, and notes the answer. Rejects as {@link #call} does. */
  async #hear(paths: readonly string[], call: CallContext): Promise<void> {
    const askedAt = performance.now()
    this.#sessions.listed(await this.#call(Fused.method.list, { paths: [...paths] }, call), paths, askedAt)
  }

  /**
   * Calls, and calls again while dummy-fused is being replaced: the service manager listens on its socket meanwhile. Rejects with HostError:
   * `unavailable` at once if no process listens, `timeout` when the call ends; and with the signal's reason when the client is gone.
   */
  async #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    call: CallContext,
  ): Promise<MessageShape<O>> {
    for (;;) {
      call.signal.throwIfAborted()
      const client = (this.#client ??= new GrpcClient(this.#socket))
      try {
        return await client.call(method, request, call.remaining(), call.signal)
      } catch (error) {
        if (!(error instanceof CallError)) throw error
        const reason: unknown = call.signal.reason
        if (isCallEnded(reason) && reason.kind === 'cancelled') throw reason
        if (error.code !== 'UNAVAILABLE' || error.answered) throw asHostError(error)
        // The client's channel would wait a second before it connects again.
        if (this.#client === client) this.#client = undefined
        client[Symbol.dispose]()
        if (!(await this.#listened())) throw new NotRunning(this.#notRunning(), { cause: error })
        const { retryPause } = this.#limits
        if (call.remaining() <= retryPause)
          throw new HostError('unavailable', `dummy-fused does not serve: ${error.details}`, { cause: error })
        await sleep(retryPause)
      }
    }
  }

  #notRunning(): string {
    return `dummy-fused does not run: no process listens on ${this.#socket}; start it (systemctl start dummy-fused.socket), in Kubernetes see the pods of its DaemonSet, or name its socket with --fused-socket`
  }

  /** Whether a process listens: dummy-fused, or systemd or keep in its place. Rejects with HostError `unavailable` where that cannot be seen. */
  async #listened(): Promise<boolean> {
    try {
      return await hasListener(this.#socket)
    } catch (error) {
      throw new HostError('unavailable', `cannot connect to dummy-fused: ${messageOf(error)}; call again`, { cause: error })
    }
  }
}

function nothing(): void {
  // The callers that asked handle the failure.
}

function notInTime(options?: ErrorOptions): HostError {
  return new HostError('timeout', 'dummy-fused has not answered in time', options)
}

function notAnswered(time: number): HostError {
  return new HostError('timeout', `dummy-fused has not answered within ${time / 1000} s`)
}

function asHostError(error: CallError): HostError {
  if (error.code === 'CANCELLED' || (error.code === 'DEADLINE_EXCEEDED' && !error.answered)) return notInTime({ cause: error })
  return new HostError(KINDS[error.code] ?? 'failed', `dummy-fused: ${error.details}`, { cause: error })
}

/** The kind of HostError for each status of dummy-fused. */
const KINDS: Readonly<Record<string, HostErrorKind>> = {
  ABORTED: 'unavailable',
  ALREADY_EXISTS: 'conflict',
  DEADLINE_EXCEEDED: 'timeout',
  FAILED_PRECONDITION: 'precondition',
  RESOURCE_EXHAUSTED: 'exhausted',
  UNAVAILABLE: 'unavailable',
}
