import type { LogLine } from './scenario-record.ts'

/** One reading round of a workload. `error` is what its log says of it, without its time: `read /mnt/…: …`; empty if it was right. */
export interface Round {
  /** When the round began. */
  readonly atMs: number
  readonly error: string
}

/**
 * The rounds that a workload's log tells of. It logs `reading` before it reads and nothing when that was right, so a round counts
 * once its error or the next round's first line is there; `open error: …` is a round too.
 */
export function roundsOf(lines: readonly LogLine[]): readonly Round[] {
  const rounds: Round[] = []
  let reading: number | undefined
  for (const { atMs, line } of lines) {
    const words = line.replace(/^\S+ \S+ /, '')
    const [, call, error] = /^(open|read) error: (.*)$/.exec(words) ?? []
    if (call === 'read' && error !== undefined) rounds.push({ atMs: reading ?? atMs, error })
    else if (reading !== undefined) rounds.push({ atMs: reading, error: '' })
    if (call === 'open' && error !== undefined) rounds.push({ atMs, error })
    reading = words === 'reading' ? atMs : undefined
  }
  return rounds
}

/** The rounds that began after `sinceMs`, in words: `3 rounds right`, `2 rounds right, 4 rounds failed: read …: …`. */
export function describeRounds(lines: readonly LogLine[], sinceMs: number): string {
  const rounds = roundsOf(lines).filter(({ atMs }) => atMs >= sinceMs)
  const counts = new Map<string, number>()
  for (const { error } of rounds) counts.set(error, (counts.get(error) ?? 0) + 1)
  if (counts.size === 0) return 'no rounds'
  return [...counts]
    .map(([error, count]) => `${count} ${count === 1 ? 'round' : 'rounds'} ${error === '' ? 'right' : `failed: ${error}`}`)
    .join(', ')
}
