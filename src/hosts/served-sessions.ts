import { deviceOf } from '../os/mounts/mount-table.ts'
import { processStat, type ProcessStat } from '../os/processes/processes.ts'
import { type ListResponse, type Session, Session_State } from '../rpc/fused_pb.ts'
import { toDaemon } from './found-daemon.ts'
import type { Daemon } from './host.ts'

/**
 * The sessions of a dummy-fused by its own answers: where each is mounted, which process serves them, and when that was asked. The plugin keeps
 * this state nowhere else. The answers of one process of dummy-fused do not count for its successor.
 */
export class ServedSessions {
  /** The device (`major:minor`) of the session at each path. */
  readonly #devices = new Map<string, string>()
  #process: ProcessStat | undefined
  /** When the last question was asked that was answered (performance.now()). */
  #askedAt = -Infinity

  /** Takes an answer about the sessions at these paths, or about all sessions if `paths` is empty. `askedAt`: performance.now(). */
  listed({ daemon, sessions }: Pick<ListResponse, 'daemon' | 'sessions'>, paths: readonly string[], askedAt: number): void {
    this.#answeredBy(daemon?.pid)
    if (paths.length === 0) this.#devices.clear()
    for (const path of paths) this.#devices.delete(path)
    for (const session of sessions) this.#add(session)
    this.#askedAt = askedAt
  }

  /** Takes the session that process `pid` has just mounted. */
  mounted(session: Session, pid: number | undefined): void {
    this.#answeredBy(pid)
    this.#add(session)
  }

  /** Forgets the session at a path. */
  forget(path: string): void {
    this.#devices.delete(path)
  }

  /** Forgets everything, because no dummy-fused runs. */
  clear(): void {
    this.#devices.clear()
    this.#askedAt = -Infinity
    this.#process = undefined
  }

  /** Whether the last answer is at most `maxAge` milliseconds old. */
  answeredWithin(maxAge: number): boolean {
    return performance.now() - this.#askedAt <= maxAge
  }

  /** The process that serves a path, by the last answer; undefined if none does, or the process has ended. */
  at(path: string): Daemon | undefined {
    const device = this.#devices.get(path)
    const daemon = toDaemon(this.#running())
    return device === undefined || daemon === undefined ? undefined : { ...daemon, device, serves: 'many' }
  }

  /** The process that serves each path, by the last answer. */
  all(): ReadonlyMap<string, Daemon> {
    const daemon = toDaemon(this.#running())
    if (daemon === undefined) return new Map()
    return new Map([...this.#devices].map(([path, device]) => [path, { ...daemon, device, serves: 'many' }]))
  }

  #add({ path, connection, state }: Session): void {
    if (state === Session_State.SERVED) this.#devices.set(path, deviceOf(connection))
    else this.#devices.delete(path)
  }

  #answeredBy(pid: number | undefined): void {
    const now = pid === undefined ? undefined : processStat(pid)
    if (now?.start === this.#process?.start) return
    this.clear()
    this.#process = now
  }

  /** The process that answered last, as it is now. */
  #running(): ProcessStat | undefined {
    const now = this.#process === undefined ? undefined : processStat(this.#process.pid)
    return now?.start === this.#process?.start ? now : undefined
  }
}
