import { Counter, type Registry } from 'prom-client'
import type { EvictionOutcome } from '../restarter/restarter.ts'
import { addGauge } from './gauge.ts'

/** What {@link addRestarterMetrics} reads at each scrape. */
export interface RestarterCounts {
  /** Whether this process leads. */
  readonly leading: () => boolean
  /** Pods with an inaccessible volume, of whatever driver. */
  readonly inaccessiblePods: () => number
}

const OUTCOMES: readonly EvictionOutcome[] = ['evicted', 'refused', 'failed']

/** Registers the metrics of the restarter. Returns what counts an attempt to evict. */
export function addRestarterMetrics(
  registry: Registry,
  { leading, inaccessiblePods }: RestarterCounts,
): (outcome: EvictionOutcome) => void {
  addGauge(registry, 'dummy_fuse_csi_restarter_leading', '1 if this process is the leader, which evicts, 0 if not.', () =>
    leading() ? 1 : 0,
  )
  addGauge(registry, 'dummy_fuse_csi_inaccessible_pods', 'Pods with a volume that cannot be accessed.', inaccessiblePods)
  const evictions = new Counter({
    name: 'dummy_fuse_csi_evictions_total',
    help: 'Attempts to evict a pod, by their outcome.',
    labelNames: ['outcome'],
    registers: [registry],
  })
  for (const outcome of OUTCOMES) evictions.inc({ outcome }, 0)
  return (outcome) => {
    evictions.inc({ outcome })
  }
}
