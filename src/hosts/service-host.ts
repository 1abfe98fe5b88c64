import { existsSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { CallError, GrpcClient } from '../grpc/client.ts'
import type { Logger } from '../log.ts'
import { deviceOf } from '../os/mount-table.ts'
import { processStat, type ProcessStat } from '../os/processes.ts'
import { hasListener } from '../os/unix-socket.ts'
import { type Daemon as DaemonMessage, Fused, type Session, Session_State } from '../rpc/fused_pb.ts'
import { toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'

/** Milliseconds for questions: a daemon that is being replaced is back long before. */
const PATIENCE = 4000
/** Milliseconds before the caller's deadline at which the daemon gives up: it is to tell, and to clean up. */
const MARGIN = 250
/** Milliseconds between two attempts at a daemon that has just gone. */
const PAUSE = 20

/** What has been learnt of a session. */
interface KnownSession {
  /** Its super block. */
  readonly device: string
  /** The file that is there for as long as the session lives, whoever ends it. */
  readonly record: string
}

/** Nobody listens: there is no daemon, and nobody who would start one. */
class NotRunning extends HostError {
  constructor(message: string, options: ErrorOptions) {
    super('unavailable', message, options)
  }
}

/** `--fuse-host service`: sessions live in dummy-fused, which survives us, and whose sessions survive it. */
export class ServiceHost implements FuseHost {
  readonly #socket: string
  readonly #faults: readonly string[]
  readonly #log: Logger
  #client: GrpcClient | undefined
  #process: ProcessStat | undefined
  /** Sessions that this process of the daemon has told of, by their paths. */
  readonly #known = new Map<string, KnownSession>()
  #asking: { readonly paths: Set<string>; readonly answered: Promise<ProcessStat | undefined> } | undefined

  /** `faults`: to be injected into every session, as `dummy-fuse --inject` takes them. */
  constructor(socket: string, faults: readonly string[], log: Logger) {
    this.#socket = socket
    this.#faults = faults
    this.#log = log
  }

  async start(path: string, options: readonly string[], deadline: number): Promise<void> {
    this.#log.info(`ask dummy-fused to mount ${path}`)
    const request = { path, options: [...options], faults: [...this.#faults], deadlineMs: Math.max(deadline - MARGIN, MARGIN) }
    const { daemon, session } = await this.#call(Fused.method.mount, request, deadline)
    this.#meet(daemon)
    if (session !== undefined) this.#learn(session, daemon)
  }

  async daemonAt(path: string, asked = false): Promise<Daemon | undefined> {
    const running = (asked ? undefined : this.#serving(path)) ?? (await this.#ask(path))
    const device = this.#known.get(path)?.device
    const daemon = toDaemon(running)
    return device === undefined || daemon === undefined ? undefined : { ...daemon, device }
  }

  /** What serves each path of every session, by one question. Rejects with HostError while that cannot be learnt. */
  async all(): Promise<ReadonlyMap<string, Daemon>> {
    const daemon = toDaemon(await this.#list([]))
    if (daemon === undefined) return new Map()
    return new Map([...this.#known].map(([path, { device }]) => [path, { ...daemon, device }]))
  }

  async stop(path: string, grace: number): Promise<void> {
    this.#known.delete(path)
    try {
      await this.#call(Fused.method.unmount, { path, graceMs: grace }, grace + PATIENCE)
    } catch (error) {
      if (!(error instanceof NotRunning)) throw error
    }
  }

  trouble(): string | undefined {
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
      this.#asking = { paths, answered }
    }
    this.#known.delete(path)
    this.#asking.paths.add(path)
    return await this.#asking.answered
  }

  /** Learns what is served at these paths; at all of them if none is named. */
  async #list(paths: readonly string[]): Promise<ProcessStat | undefined> {
    try {
      const { daemon, sessions } = await this.#call(Fused.method.list, { paths: [...paths] }, PATIENCE)
      this.#meet(daemon)
      for (const session of sessions) this.#learn(session, daemon)
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
   * Calls, and calls again while the daemon is being replaced: whoever listens for it keeps us waiting meanwhile. Rejects with HostError:
   * `unavailable` at once if nobody listens, `timeout` after `deadline` milliseconds.
   */
  async #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    deadline: number,
  ): Promise<MessageShape<O>> {
    const until = Date.now() + deadline
    for (;;) {
      try {
        this.#client ??= new GrpcClient(this.#socket)
        return await this.#client.call(method, request, until - Date.now())
      } catch (error) {
        if (!(error instanceof CallError)) throw error
        if (error.code !== 'UNAVAILABLE') throw asHostError(error)
        // Its channel would wait a second before it tries again.
        this.#client?.[Symbol.dispose]()
        this.#client = undefined
        if (!(await this.#listened())) throw new NotRunning(this.#notRunning(), { cause: error })
        if (Date.now() + PAUSE >= until)
          throw new HostError('unavailable', `dummy-fused does not serve: ${error.details}`, { cause: error })
        await sleep(PAUSE)
      }
    }
  }

  #notRunning(): string {
    return `dummy-fused does not run: nobody listens on ${this.#socket}; start it (systemctl start dummy-fused.socket), or name its socket with --fused-socket`
  }

  /** Whether anybody listens: the daemon, or systemd or keep in its place. */
  async #listened(): Promise<boolean> {
    return await hasListener(this.#socket).catch(() => false)
  }
}

function asHostError(error: CallError): HostError {
  return new HostError(error.code === 'DEADLINE_EXCEEDED' ? 'timeout' : 'failed', `dummy-fused: ${error.details}`, { cause: error })
}
