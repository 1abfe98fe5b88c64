import type { Tally } from './tally.ts'

/** Messages of one code that are shown. */
const SHOWN = 4

/** What a churn has counted, as lines for people. */
export function report(title: string, tally: Tally): string {
  const { calls, signals, rounds, findings, slowest, lives } = tally
  const rows = calls.flatMap(({ rpc, code, count, slowest: ms, messages }) => [
    `  ${rpc.padEnd(20)} ${code.padEnd(18)} ${String(count).padStart(7)}   slowest ${(ms / 1000).toFixed(2)} s`,
    ...[...messages]
      .sort(([, a], [, b]) => b - a)
      .slice(0, SHOWN)
      .map(([message, times]) => `      ${times}x ${message}`),
  ])
  return [
    `${title}: ${lives} lives of volumes; the slowest call: ${slowest.call}, ${(slowest.ms / 1000).toFixed(2)} s`,
    ...rows,
    `  signals: ${listed(signals)}`,
    `  reads: ${listed(rounds)}`,
    findings.length === 0 ? '  nothing was found' : `  ${findings.length} findings:`,
    ...findings.map((finding) => `  - ${finding.replaceAll('\n', '\n      ')}`),
  ].join('\n')
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ')
}
