import { existsSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { CallError, GrpcClient } from '../grpc/client.ts'
import { type CallContext, isCallEnded, RunningCall, unlessAborted } from '../call-context.ts'
import type { Logger } from '../log.ts'
import { deviceOf } from '../os/mounts/mount-table.ts'
import { processStat, type ProcessStat } from '../os/processes/processes.ts'
import { hasListener } from '../os/sockets/unix-socket.ts'
import { type Daemon as DaemonMessage, Fused, type Session, Session_State } from '../rpc/fused_pb.ts'
import { toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError, type HostErrorKind } from './host.ts'

/** The limits of a service host; times are milliseconds. */
export interface ServiceLimits {
  /** Within which dummy-fused answers what it is asked of its sessions, or counts as hung. */
  readonly question: number
  /** Between two attempts at a daemon that has just gone. */
  readonly retryPause: number
}

/** What has been learnt of a session. */
interface KnownSession {
  /** Its super block. */
  readonly device: string
  /** The file that exists as long as the session lives. */
  readonly record: string
}

/** Nobody listens: there is no daemon, and nobody who would start one. */
export class NotRunning extends HostError {
  constructor(message: string, options: ErrorOptions) {
    super('unavailable', message, options)
  }
}

/** `--fuse-host service`: sessions live in dummy-fused, which survives us, and whose sessions survive it. */
export class ServiceHost implements FuseHost {
  readonly #socket: string
  readonly #faults: readonly string[]
  readonly #limits: ServiceLimits
  readonly #log: Logger
  #client: GrpcClient | undefined
  #process: ProcessStat | undefined
  /** Sessions that this process of the daemon has told of, by their paths. */
  readonly #known = new Map<string, KnownSession>()
  /** When the question was asked that the daemon's serving thread has last answered (performance.now()). */
  #vouchedAt = -Infinity
  /** Settles, and never rejects, when the question that was asked last has been answered or has failed. */
  #underWay: Promise<void> | undefined
  #asking: { readonly paths: Set<string>; readonly answered: Promise<ProcessStat | undefined> } | undefined

  /** `faults`: to be injected into every session, as `dummy-fuse --inject` takes them. */
  constructor(socket: string, faults: readonly string[], limits: ServiceLimits, log: Logger) {
    this.#socket = socket
    this.#faults = faults
    this.#limits = limits
    this.#log = log
  }

  async start(path: string, options: readonly string[], call: CallContext): Promise<void> {
    this.#log.info(`ask dummy-fused to mount ${path}`)
    const request = { path, options: [...options], faults: [...this.#faults] }
    const { daemon, session } = await this.#call(Fused.method.mount, request, call)
    this.#meet(daemon)
    if (session !== undefined) this.#learn(session, daemon)
  }

  async daemonAt(path: string, _device: string | undefined, call: CallContext, maxAge = Infinity): Promise<Daemon | undefined> {
    // The answer to a question that is under way is younger than any age.
    if (!this.#vouchedFor(maxAge)) await unlessAborted(this.#underWay ?? Promise.resolve(), call.signal)
    const vouched = this.#vouchedFor(maxAge) ? this.#serving(path) : undefined
    const running = vouched ?? (await unlessAborted(this.#ask(path), call.signal))
    const device = this.#known.get(path)?.device
    const daemon = toDaemon(running)
    return device === undefined || daemon === undefined ? undefined : { ...daemon, device, serves: 'many' }
  }

  /** What serves each path of every session, by one question. Rejects with HostError while that cannot be learnt. */
  async all(): Promise<ReadonlyMap<string, Daemon>> {
    const daemon = toDaemon(await this.#list([]))
    if (daemon === undefined) return new Map()
    return new Map([...this.#known].map(([path, { device }]) => [path, { ...daemon, device }]))
  }

  async stop(path: string, _device: string | undefined, grace: number, call: CallContext): Promise<void> {
    this.#known.delete(path)
    try {
      await this.#call(Fused.method.unmount, { path, graceMs: grace }, call)
    } catch (error) {
      if (!(error instanceof NotRunning)) throw error
    }
  }

  unavailableReason(): string | undefined {
    const there = lstatSync(this.#socket, { throwIfNoEntry: false })
    return there?.isSocket() === true ? undefined : this.#notRunning()
  }

  /** Learns anew what is served at a path, and by which process, if any. Those who ask at the same time share one question. */
  async #ask(path: string): Promise<ProcessStat | undefined> {
    if (this.#asking === undefined) {
      const paths = new Set<string>()
      const answered = setImmediate().then(async () => {
        this.#asking = undefined
        return await this.#list([...paths])
      })
      this.#mark(answered)
      this.#asking = { paths, answered }
    }
    this.#known.delete(path)
    this.#asking.paths.add(path)
    return await this.#asking.answered
  }

  #mark(question: Promise<unknown>): void {
    const settled = question.then(nothing, nothing).then(() => {
      if (this.#underWay === settled) this.#underWay = undefined
    })
    this.#underWay = settled
  }

  #vouchedFor(maxAge: number): boolean {
    return maxAge === Infinity || performance.now() - this.#vouchedAt <= maxAge
  }

  /** Learns what is served at these paths; at all of them if none is named. */
  async #list(paths: readonly string[]): Promise<ProcessStat | undefined> {
    using question = new RunningCall(this.#limits.question, { margin: 0 })
    const began = performance.now()
    try {
      const { daemon, sessions } = await this.#call(Fused.method.list, { paths: [...paths] }, question)
      this.#meet(daemon)
      for (const session of sessions) this.#learn(session, daemon)
      this.#vouchedAt = began
    } catch (error) {
      if (error instanceof NotRunning) return undefined
      throw error
    }
    return this.#running()
  }

  #learn({ id, path, connection, state }: Session, daemon: DaemonMessage | undefined): void {
    if (state !== Session_State.SERVED) this.#known.delete(path)
    else this.#known.set(path, { device: deviceOf(connection), record: join(daemon?.records ?? '', `${id}.json`) })
  }

  /** What another process of the daemon has told does not count. */
  #meet(daemon: DaemonMessage | undefined): void {
    const now = daemon === undefined ? undefined : processStat(daemon.pid)
    if (now?.start === this.#process?.start) return
    this.#known.clear()
    this.#vouchedAt = -Infinity
    this.#process = now
  }

  /** The process that serves a path, if what was learnt of it still holds: it lives on when a session ends. Where its folder cannot be seen, it is asked. */
  #serving(path: string): ProcessStat | undefined {
    const known = this.#known.get(path)
    return known !== undefined && existsSync(known.record) ? this.#running() : undefined
  }

  /** The process that was met last, as it is now. */
  #running(): ProcessStat | undefined {
    const now = this.#process === undefined ? undefined : processStat(this.#process.pid)
    return now?.start === this.#process?.start ? now : undefined
  }

  /**
   * Calls, and calls again while the daemon is being replaced: its socket is listened on meanwhile. Rejects with HostError: `unavailable` at
   * once if nobody listens, `timeout` when the call ends; and with the signal's reason when the client is gone.
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
        // Its channel would wait a second before it tries again.
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
    return `dummy-fused does not run: no process listens on ${this.#socket}; start it (systemctl start dummy-fused.socket), or name its socket with --fused-socket`
  }

  /** Whether anybody listens: the daemon, or systemd or keep in its place. */
  async #listened(): Promise<boolean> {
    return await hasListener(this.#socket).catch(() => false)
  }
}

function nothing(): void {
  // How it ends is for those who asked.
}

function asHostError(error: CallError): HostError {
  return new HostError(KINDS[error.code] ?? 'failed', `dummy-fused: ${error.details}`, { cause: error })
}

/** What a status of dummy-fused means for the call that it was asked for. */
const KINDS: Readonly<Record<string, HostErrorKind>> = {
  ABORTED: 'unavailable',
  ALREADY_EXISTS: 'conflict',
  CANCELLED: 'timeout',
  DEADLINE_EXCEEDED: 'timeout',
  FAILED_PRECONDITION: 'precondition',
  RESOURCE_EXHAUSTED: 'exhausted',
  UNAVAILABLE: 'unavailable',
}
