/** A thing to be timed; resolves to what one round took. */
export type Round<T = number> = () => Promise<T>

/** What rounds took, in the unit of the row that they are for. */
export interface Figures {
  readonly name: string
  readonly p50: number
  readonly p99: number
}

/** Times `--rounds` that calls of some milliseconds are timed: most of them are to find code that V8 has compiled. */
export const QUICK = 20

/** Rounds of one side in a row: after a fork the parent pays for each page that it writes, and that is to be nobody's time. */
const BLOCK = 10

/**
 * Times two things in turn, `rounds` times each, in blocks whose first round is not counted, so that a machine whose speed drifts is
 * fair to both.
 */
export async function alternate<T>(rounds: number, ours: Round<T>, peer: Round<T>): Promise<{ ours: T[]; peer: T[] }> {
  const times = { ours: [] as T[], peer: [] as T[] }
  for (let round = 0; round < rounds; round += BLOCK) {
    times.ours.push(...(await block(ours)))
    times.peer.push(...(await block(peer)))
  }
  return times
}

async function block<T>(round: Round<T>): Promise<readonly T[]> {
  await round()
  const times: T[] = []
  while (times.length < BLOCK) times.push(await round())
  return times
}

/** The value below which a share of all lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

export function figures(name: string, values: readonly number[]): Figures {
  return { name, p50: percentile(values, 0.5), p99: percentile(values, 0.99) }
}

/** Figures of several runs that each have their own percentiles: the medians of them, so that one disturbed run does not count. */
export function medians(name: string, runs: readonly Omit<Figures, 'name'>[]): Figures {
  return { name, p50: median(runs.map(({ p50 }) => p50)), p99: median(runs.map(({ p99 }) => p99)) }
}

/** Milliseconds that something takes. */
export async function timed(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await act()
  return performance.now() - began
}

/** Does something for each of many, so many at once. */
export async function atOnce<T>(limit: number, items: readonly T[], act: (item: T) => Promise<unknown>): Promise<void> {
  const rest = [...items]
  const worker = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await act(item)
  }
  await Promise.all(Array.from({ length: Math.min(limit, rest.length) }, worker))
}
