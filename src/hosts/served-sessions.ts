import { deviceOf } from '../os/mounts/mount-table.ts'
import { isProcess, pidNamespace, processStat, type ProcessStat } from '../os/processes/processes.ts'
import { type Daemon as Answerer, type ListResponse, type MountResponse, type Session, Session_State } from '../rpc/fused_pb.ts'
import { toDaemon } from './found-daemon.ts'
import type { Daemon } from './host.ts'

/** A session as it was last listed. */
interface ListedSession {
  /** `major:minor`. */
  readonly device: string
  readonly generation: number
}

/** The process that has answered, as it tells itself. */
interface AnsweringProcess {
  /** Distinguishes it from every other process of the machine. */
  readonly id: string
  /** As /proc shows it; undefined for a process of another PID namespace. */
  readonly stat: ProcessStat | undefined
}

/**
 * The sessions of a dummy-fused by its own answers: where each is mounted, which process serves them, and how old the answers are. The plugin keeps
 * this state nowhere else. What was answered counts while the same process of dummy-fused runs and no session of it has ended. Of a process in another PID
 * namespace that cannot be seen: its sessions are known, and {@link Daemon.pid} is not.
 */
export class ServedSessions {
  readonly #sessions = new Map<string, ListedSession>()
  /** Counts up when a session has ended, which may be any of those that were listed before. */
  #generation = 0
  #complete = false
  #process: AnsweringProcess | undefined
  #ended: number | undefined
  /** When the last question that was answered was asked (performance.now()): {@link listed}, and either. */
  #listedAt = -Infinity
  #answeredAt = -Infinity

  /** Takes an answer about the sessions at these paths, or about all sessions if `paths` is empty. `askedAt`: performance.now(). */
  listed({ daemon, sessions }: Pick<ListResponse, 'daemon' | 'sessions'>, paths: readonly string[], askedAt: number): void {
    this.#answeredBy(daemon, askedAt)
    if (paths.length === 0) {
      this.#sessions.clear()
      this.#complete = true
    }
    for (const path of paths) this.#sessions.delete(path)
    for (const session of sessions) this.#add(session)
    this.#listedAt = askedAt
  }

  /** Takes the answer to a Mount. `askedAt`: performance.now(). */
  mounted({ daemon, session }: Pick<MountResponse, 'daemon' | 'session'>, askedAt: number): void {
    this.#answeredBy(daemon, askedAt)
    if (session !== undefined) this.#add(session)
  }

  /** Forgets the session at a path. */
  forget(path: string): void {
    this.#sessions.delete(path)
  }

  /** Forgets everything, because no dummy-fused runs. */
  clear(): void {
    this.#sessions.clear()
    this.#complete = false
    this.#process = undefined
    this.#ended = undefined
    this.#listedAt = -Infinity
    this.#answeredAt = -Infinity
  }

  /** Whether every session is known that was served when all were listed. */
  get complete(): boolean {
    return this.#complete
  }

  /** Whether the serving thread was asked and has answered within the last `maxAge` milliseconds. */
  listedWithin(maxAge: number): boolean {
    return performance.now() - this.#listedAt <= maxAge
  }

  /** Whether the process has answered any call within the last `maxAge` milliseconds. */
  answeredWithin(maxAge: number): boolean {
    return performance.now() - this.#answeredAt <= maxAge
  }

  /** The process that serves a path, by the last answers; undefined if none does, or the process has ended. */
  at(path: string): Daemon | undefined {
    const session = this.#sessions.get(path)
    const daemon = session === undefined ? undefined : this.#running()
    return session === undefined || daemon === undefined ? undefined : this.#serving(daemon, session)
  }

  /** The process that serves each path, by the last answers. */
  all(): ReadonlyMap<string, Daemon> {
    const daemon = this.#running()
    if (daemon === undefined) return new Map()
    const served = [...this.#sessions].flatMap(([path, session]) => {
      const serving = this.#serving(daemon, session)
      return serving === undefined ? [] : [[path, serving] as const]
    })
    return new Map(served)
  }

  /** A stopped process cannot say which session has ended. */
  #serving(daemon: Daemon, { device, generation }: ListedSession): Daemon | undefined {
    return generation === this.#generation || daemon.stopped ? { ...daemon, device, serves: 'many' } : undefined
  }

  #add({ path, connection, state }: Session): void {
    if (state === Session_State.SERVED) this.#sessions.set(path, { device: deviceOf(connection), generation: this.#generation })
    else this.#sessions.delete(path)
  }

  #answeredBy(daemon: Answerer | undefined, askedAt: number): void {
    const now = daemon === undefined ? undefined : processOf(daemon)
    if (now?.id !== this.#process?.id) this.clear()
    // An older dummy-fused does not tell how many have ended.
    if (daemon?.ended === undefined || daemon.ended !== this.#ended) {
      this.#generation++
      this.#complete = false
    }
    this.#process = now
    this.#ended = daemon?.ended
    this.#answeredAt = Math.max(this.#answeredAt, askedAt)
  }

  /** The process that answered last, as it is now. */
  #running(): Daemon | undefined {
    if (this.#process === undefined) return undefined
    const { stat } = this.#process
    if (stat === undefined) return { stopped: false }
    const now = processStat(stat.pid)
    return toDaemon(now?.start === stat.start ? now : undefined)
  }
}

/** The process that an answer names; undefined if it has ended. */
function processOf({ pid, start, pidNamespace: namespace }: Answerer): AnsweringProcess | undefined {
  if (namespace !== '' && namespace !== pidNamespace()) return { id: `${namespace} ${pid} ${start}`, stat: undefined }
  const stat = processStat(pid)
  // An earlier version tells its id alone, which may be a thread's of this PID namespace.
  const isIt = stat !== undefined && (start === '' ? isProcess(pid) : stat.start === start)
  return isIt ? { id: `${pid} ${stat.start}`, stat } : undefined
}
