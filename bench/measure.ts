/** A thing to be timed; resolves to the milliseconds one round took. */
export type Round = () => Promise<number>

/** One line of a comparison: ours beside its peer, both measured in turn in the same run. */
export interface Comparison {
  readonly name: string
  readonly ours: Figures
  readonly peer: Figures
  /** Ours divided by the peer's, of the medians. */
  readonly ratio: number
  /** What the ratio must not exceed. */
  readonly limit: number
}

/** Milliseconds. */
export interface Figures {
  readonly name: string
  readonly p50: number
  readonly p99: number
}

/** Rounds of one side in a row: after a fork the parent pays for each page that it writes, and that is to be nobody's time. */
const BLOCK = 10

/**
 * Times two things in turn, `rounds` times each, in blocks whose first round is not counted, so that a machine whose speed drifts is
 * fair to both.
 */
export async function alternate(rounds: number, ours: Round, peer: Round): Promise<{ ours: number[]; peer: number[] }> {
  const times = { ours: [] as number[], peer: [] as number[] }
  for (let round = 0; round < rounds; round += BLOCK) {
    times.ours.push(...(await block(ours)))
    times.peer.push(...(await block(peer)))
  }
  return times
}

async function block(round: Round): Promise<readonly number[]> {
  await round()
  const times: number[] = []
  while (times.length < BLOCK) times.push(await round())
  return times
}

/** The value below which a share of all lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN
}

export function figures(name: string, values: readonly number[]): Figures {
  return { name, p50: percentile(values, 0.5), p99: percentile(values, 0.99) }
}

/** Puts a comparison together; `allowance` milliseconds are added to the peer's before dividing. */
export function compare(name: string, limit: number, ours: Figures, peer: Figures, allowance = 0): Comparison {
  return { name, ours, peer, ratio: ours.p50 / (peer.p50 + allowance), limit }
}

/** A table for people. */
export function table(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map(({ name, ours, peer, ratio, limit }) => [
    name,
    `${ours.name} ${ours.p50.toFixed(2)} (p99 ${ours.p99.toFixed(2)})`,
    `${peer.name} ${peer.p50.toFixed(2)} (p99 ${peer.p99.toFixed(2)})`,
    ratio.toFixed(2),
    `<= ${limit.toFixed(2)}`,
    ratio <= limit ? 'yes' : 'NO',
  ])
  const all = [['what', 'ours, p50 ms', 'peer, p50 ms', 'ratio', 'limit', 'within'], ...rows]
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n')
}
