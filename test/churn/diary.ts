/** A call that changes a volume. Times are of performance.now(). */
interface Entry {
  readonly began: number
  ended: number | undefined
  ok: boolean
}

/** A signal, and the time in which what it does may be seen. Times are of performance.now(). */
interface Hit {
  readonly from: number
  readonly until: () => number
  /** The volume whose process got it; `all`: a process that serves every volume, or that the volumes depend on. */
  readonly volume: string
  readonly effect: Effect
}

/** What a signal does: a process is `stopped` for a while; a program that all volumes depend on starts anew, and with the plugin their mounts (`restoring`); a process is `gone`. */
export type Effect = 'stopped' | 'restoring' | 'gone'

/** Milliseconds for which a call that failed may still undo its work: the plugin's margin is a second, on a busy machine more. */
const UNDOING = 5000

/** Entries of a volume that are kept. */
const KEPT = 20

export const ALL = 'all'

/** What a churn does to its volumes and processes: what may change while somebody looks. */
export class Diary {
  readonly #calls = new Map<string, Entry[]>()
  readonly #hits: Hit[] = []
  readonly #restarts: Omit<Hit, 'volume' | 'effect'>[] = []

  /** Notes that a call which changes a volume begins; returns what notes its end. `unsent`: it has never reached the plugin. */
  begin(volumeId: string): (how: 'ok' | 'failed' | 'unsent') => void {
    const entry: Entry = { began: performance.now(), ended: undefined, ok: false }
    const before = (this.#calls.get(volumeId) ?? []).slice(1 - KEPT)
    this.#calls.set(volumeId, [...before, entry])
    return (how) => {
      entry.ended = performance.now()
      entry.ok = how === 'ok'
      if (how === 'unsent') this.#calls.set(volumeId, before)
    }
  }

  /** Notes a signal to the process of a volume, or of {@link ALL}; returns what notes that its effects are over. */
  hit(volume: string, effect: Effect): () => void {
    const from = performance.now()
    let until = Infinity
    this.#hits.push({ from, until: () => until, volume, effect })
    return () => {
      until = performance.now()
    }
  }

  /** Notes that the one process which serves all volumes is gone; returns what notes that the next one serves. */
  restart(): () => void {
    const from = performance.now()
    let until = Infinity
    this.#restarts.push({ from, until: () => until })
    return () => {
      until = performance.now()
    }
  }

  /** Whether anything has changed a volume, or may have, between two times. */
  touched(volumeId: string, from: number, to: number): boolean {
    const called = (this.#calls.get(volumeId) ?? []).some(({ began, ended = Infinity, ok }) => {
      return began <= to && ended + (ok ? 0 : UNDOING) >= from
    })
    const concerns = ({ volume }: Hit): boolean => volume === ALL || volume === volumeId
    return called || this.#hits.some((hit) => concerns(hit) && hit.from <= to && hit.until() >= from)
  }

  /** What signals did to a volume, or to all, between two times. */
  effects(volumeId: string, from: number, to: number): ReadonlySet<Effect> {
    const during = (one: Pick<Hit, 'from' | 'until'>): boolean => one.from <= to && one.until() >= from
    const hits = this.#hits.filter((hit) => (hit.volume === ALL || hit.volume === volumeId) && during(hit))
    return new Set([...hits.map(({ effect }) => effect), ...(this.#restarts.some(during) ? (['restoring'] as const) : [])])
  }

  /** Whether the last call that changes a volume is under way or has failed: something that it began may be left until it is repeated. */
  unsettled(volumeId: string): boolean {
    const last = this.#calls.get(volumeId)?.at(-1)
    return last !== undefined && !(last.ended !== undefined && last.ok)
  }

  /** Whether a volume's process, or one that all depend on, has got a signal since `from`. */
  hitSince(volumeId: string, from: number): boolean {
    return this.#hits.some(({ volume, until }) => (volume === ALL || volume === volumeId) && until() >= from)
  }

  /** When the last call began that had succeeded for a volume by a time; undefined if none had. */
  lastSuccess(volumeId: string, by: number): number | undefined {
    return this.#calls.get(volumeId)?.findLast(({ ok, ended = Infinity }) => ok && ended <= by)?.began
  }
}
