import { median, percentile } from '../../bench/measure.ts'
import { slowestOf, type Tally } from './tally.ts'

/** Messages of one code that are shown. */
const SHOWN = 4

/** What a churn has counted, as lines for people. `calm`: the calls that were made before the first signal, one at a time. */
export function report(title: string, tally: Tally, calm: Tally): string {
  const { calls, signals, rounds, findings, slowest, lives } = tally
  const rows = calls.flatMap(({ rpc, code, count, times, messages }) => [
    `  ${rpc.padEnd(20)} ${code.padEnd(18)} ${String(count).padStart(7)}   slowest ${(slowestOf(times) / 1000).toFixed(2)} s`,
    ...[...messages]
      .sort(([, a], [, b]) => b - a)
      .slice(0, SHOWN)
      .map(([message, times]) => `      ${times}x ${message}`),
  ])
  return [
    `${title}: ${lives} lives of volumes; the slowest call: ${slowest.call}, ${(slowest.ms / 1000).toFixed(2)} s`,
    ...rows,
    ...besideCalm(tally, calm),
    `  signals: ${listed(signals)}`,
    `  reads: ${listed(rounds)}`,
    findings.length === 0 ? '  nothing was found' : `  ${findings.length} findings:`,
    ...findings.map((finding) => `  - ${finding.replaceAll('\n', '\n      ')}`),
  ].join('\n')
}

/** The 99th percentile of the calls that succeeded, beside the median of the same call in calm. */
function besideCalm(tally: Tally, calm: Tally): readonly string[] {
  return calm.calls.flatMap(({ rpc, code, times }) => {
    const churned = tally.calls.find((one) => one.rpc === rpc && one.code === 'OK')
    if (code !== 'OK' || churned === undefined) return []
    const [p99, idle] = [percentile(churned.times, 0.99), median(times)]
    return [`  ${rpc.padEnd(20)} p99 ${p99.toFixed(0)} ms, median in calm ${idle.toFixed(0)} ms: ${(p99 / idle).toFixed(1)}x`]
  })
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ')
}
