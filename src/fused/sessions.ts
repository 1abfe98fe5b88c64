import type { RunningSession } from '../fuse/session/attached-session.ts'
import type { SessionRecord } from './session-record.ts'

/** A session that is served. */
export interface ServedSession {
  readonly kind: 'served'
  readonly record: SessionRecord
  readonly running: RunningSession
}

/** A session whose descriptor is held for a newer version of the program, which can read its record. */
export interface HeldSession {
  readonly kind: 'held'
  readonly id: string
  readonly fd: number
  readonly record: SessionRecord | undefined
  readonly why: string
}

export type HostedSession = ServedSession | HeldSession

/** The sessions of this daemon, by their ids and by where they are mounted. */
export class Sessions {
  readonly #byId = new Map<string, HostedSession>()
  readonly #byPath = new Map<string, HostedSession>()
  #changed: () => void = () => undefined
  #ended = 0

  /** How many sessions have been removed. */
  get ended(): number {
    return this.#ended
  }

  /** Calls `listener` whenever a session is added or removed. */
  onChange(listener: () => void): void {
    this.#changed = listener
  }

  add(session: HostedSession): void {
    this.#byId.set(idOf(session), session)
    if (session.record !== undefined) this.#byPath.set(session.record.path, session)
    this.#changed()
  }

  /** Removes a session. A newer session of the same path stays. */
  remove(session: HostedSession): void {
    if (this.#byId.delete(idOf(session))) this.#ended++
    const path = session.record?.path
    if (path !== undefined && this.#byPath.get(path) === session) this.#byPath.delete(path)
    this.#changed()
  }

  has(session: HostedSession): boolean {
    return this.#byId.get(idOf(session)) === session
  }

  get(id: string): HostedSession | undefined {
    return this.#byId.get(id)
  }

  at(path: string): HostedSession | undefined {
    return this.#byPath.get(path)
  }

  all(): readonly HostedSession[] {
    return [...this.#byId.values()]
  }
}

export function idOf(session: HostedSession): string {
  return session.kind === 'served' ? session.record.id : session.id
}
