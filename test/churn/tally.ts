/** Calls of one RPC that ended with one code. */
export interface CallCount {
  readonly rpc: string
  readonly code: string
  readonly count: number
  /** How long each took, in milliseconds. */
  readonly times: readonly number[]
  /** Those of them that the plugin has answered, while none of its processes was stopped. */
  readonly served: readonly number[]
  /** Those of the served ones that no restart of the plugin, or of the dummy-fused of all volumes, came upon. */
  readonly undisturbed: readonly number[]
  /** Messages that came with the code, without numbers, and how often each came. */
  readonly messages: ReadonlyMap<string, number>
}

/**
 * How an attempt came out: the connection broke, or there was none (`unanswered`); a process that it may depend on was `stopped`; the plugin, or the dummy-fused of all
 * volumes, was started anew (`restoring`); or none of these.
 */
export type Circumstances = 'unanswered' | 'stopped' | 'restoring' | 'undisturbed'

/** Statements that were heard, and those of them that could be judged. */
export interface Statements {
  readonly said: number
  readonly judged: number
}

interface Mutable {
  rpc: string
  code: string
  count: number
  times: number[]
  served: number[]
  undisturbed: number[]
  messages: Map<string, number>
}

/** Counts what happens in a churn. */
export class Tally {
  readonly #began = performance.now()
  readonly #calls = new Map<string, Mutable>()
  readonly #signals = new Map<string, number>()
  readonly #reads = new Map<string, number>()
  readonly #findings: string[] = []
  readonly #statements = new Map<string, Statements>()
  /** Volumes that were staged, published, read, unpublished and unstaged. */
  lives = 0

  /** `circumstances`: what became of the attempt beside its code. */
  call(rpc: string, code: string, ms: number, details: string, circumstances: Circumstances): void {
    const key = `${rpc} ${code}`
    const known = this.#calls.get(key) ?? {
      rpc,
      code,
      count: 0,
      times: [],
      served: [],
      undisturbed: [],
      messages: new Map<string, number>(),
    }
    this.#calls.set(key, known)
    known.count++
    known.times.push(ms)
    if (circumstances !== 'unanswered' && circumstances !== 'stopped') known.served.push(ms)
    if (circumstances === 'undisturbed') known.undisturbed.push(ms)
    if (code !== 'OK') add(known.messages, generalised(details))
  }

  signal(name: string): void {
    add(this.#signals, name)
  }

  /** Rounds of readers, by how they ended: `right`, or an errno's name. */
  reads(how: string, count: number): void {
    add(this.#reads, how, count)
  }

  /** Something that must not be. */
  finding(text: string): void {
    this.#findings.push(`${((performance.now() - this.#began) / 1000).toFixed(1)} s: ${text}`)
  }

  /** Something that was said of the volumes, and whether it could be judged: not while they change. */
  statement(kind: string, judged: boolean): void {
    const known = this.#statements.get(kind) ?? { said: 0, judged: 0 }
    this.#statements.set(kind, { said: known.said + 1, judged: known.judged + (judged ? 1 : 0) })
  }

  /** By what said them. */
  get statements(): ReadonlyMap<string, Statements> {
    return this.#statements
  }

  /** Sorted by RPC and code. */
  get calls(): readonly CallCount[] {
    return [...this.#calls.values()].sort((a, b) => `${a.rpc} ${a.code}`.localeCompare(`${b.rpc} ${b.code}`))
  }

  get signals(): ReadonlyMap<string, number> {
    return this.#signals
  }

  get rounds(): ReadonlyMap<string, number> {
    return this.#reads
  }

  get findings(): readonly string[] {
    return this.#findings
  }

  /** The milliseconds of the slowest call, and its RPC and code. */
  get slowest(): { readonly ms: number; readonly call: string } {
    const all = this.calls.map(({ rpc, code, times }) => ({ ms: slowestOf(times), call: `${rpc} ${code}` }))
    return all.sort((a, b) => b.ms - a.ms)[0] ?? { ms: 0, call: 'none' }
  }
}

/** The longest of some times. */
export function slowestOf(times: readonly number[]): number {
  return times.reduce((longest, time) => Math.max(longest, time), 0)
}

function add(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}

/** A message without what differs from one volume or process to the next. */
function generalised(details: string): string {
  return details
    .replace(/\/tmp\/[^\s:;,)]*/g, 'PATH')
    .replace(/volume-\d+/g, 'VOLUME')
    .replace(/\d+(\.\d+)?/g, 'N')
    .slice(0, 160)
}
