import { median, percentile } from '../../bench/measure.ts'
import type { Churn } from './churn.ts'
import { slowestOf, type Tally } from './tally.ts'

/** Messages of one code that are shown. */
const SHOWN = 4

/** What a churn has counted, as lines for people. `calm`, `busy`: the calls before the first signal, one at a time and as many as later. */
export function report(title: string, { tally, calm, busy }: Pick<Churn, 'tally' | 'calm' | 'busy'>): string {
  const { calls, signals, rounds, findings, slowest, lives, statements } = tally
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
    ...latencies(tally, calm, busy),
    `  signals: ${listed(signals)}`,
    `  reads: ${listed(rounds)}`,
    `  statements: ${[...statements].map(([kind, { said, judged }]) => `${kind} ${said} (${judged} judged)`).join(', ')}`,
    findings.length === 0 ? '  nothing was found' : `  ${findings.length} findings:`,
    ...findings.map((finding) => `  - ${finding.replaceAll('\n', '\n      ')}`),
  ].join('\n')
}

/**
 * For each RPC: what an attempt that the plugin has answered took, from its sending to its answer, whatever the code, as the 99th percentile. Attempts while a
 * process was stopped are left out, for they last as long as that. Beside it the median of the same call alone, before the first signal, and the
 * median and the 99th percentile under the same load without signals.
 */
function latencies(tally: Tally, calm: Tally, busy: Tally): readonly string[] {
  const rpcs = [...new Set(calm.calls.map(({ rpc }) => rpc))]
  return rpcs.map((rpc) => {
    const times = (of: Tally, which: 'served' | 'undisturbed'): readonly number[] =>
      of.calls.filter((one) => one.rpc === rpc).flatMap((one) => one[which])
    const idle = median(times(calm, 'served'))
    const [loaded, loadedTail] = [median(times(busy, 'served')), percentile(times(busy, 'served'), 0.99)]
    const churned = percentile(times(tally, 'served'), 0.99)
    const undisturbed = percentile(times(tally, 'undisturbed'), 0.99)
    const beside = (ms: number): string => `${(ms / idle).toFixed(1)}x alone, ${(ms / loaded).toFixed(1)}x under load`
    return [
      `  ${rpc.padEnd(20)} p99 ${churned.toFixed(0)} ms (${beside(churned)})`,
      `without restarts ${undisturbed.toFixed(0)} ms (${beside(undisturbed)})`,
      `in calm: alone ${idle.toFixed(0)} ms, under load ${loaded.toFixed(0)} ms, p99 ${loadedTail.toFixed(0)} ms`,
    ].join('; ')
  })
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ')
}
