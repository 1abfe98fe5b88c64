import type { PowerOutcome } from './cuts.ts'

/** What came of cutting the power of one program, as lines for people. */
export function powerReport(name: string, { steps, states, starts, found, findings }: PowerOutcome): string {
  const counts = Object.entries(found).map(([kind, count]) => `${kind} ${count}`)
  return [
    `${name}: ${steps} steps, ${states} states, ${starts} starts; found in the states: ${counts.join(', ')}`,
    ...findings.map((finding) => `  found: ${finding}`),
    ...(findings.length === 0 ? ['  nothing was found'] : []),
  ].join('\n')
}
