import { checkedLimits } from '../limits.ts'
import { ClusterLab, type ClusterOptions } from '../lab/cluster/cluster-lab.ts'
import { descriptorSink, Logger } from '../log.ts'
import { SYSTEM_CLOCK } from '../os/clock.ts'

/** The limits of the lab on a cluster that no option sets; times are milliseconds. */
const LIMITS = checkedLimits(
  {
    request: { value: 15_000, why: 'An API server answers within milliseconds, under load within seconds.' },
    connections: { value: 60_000, why: 'A token or certificate that was renewed is used within a minute.' },
    page: { value: 500, why: "client-go's pager takes as many." },
    resync: { value: 600_000, why: 'A watch that has missed something is right again after ten minutes.' },
    watch: { value: 20_000, why: 'The server sends a bookmark before its end. The client ends a silent watch after 30 s.' },
    shortestWatch: { value: 1000, why: 'A server that ends each watch at once would be asked without a pause.' },
    watchRetryFirst: { value: 300, why: 'An API server that restarts is often back within a second.' },
    watchRetryLongest: { value: 5000, why: 'A cell waits for what its pods do.' },
  },
  ({ watchRetryFirst, watchRetryLongest }) => [
    ['the first wait is not longer than the longest', watchRetryFirst <= watchRetryLongest],
  ],
)

/**
 * The lab on a cluster brings the client of Kubernetes along, and so is a bundle of its own (build.mjs), which only `lab run --cluster` loads. It is imported at
 * once: from what is imported later, esbuild leaves nothing out.
 */
export const loadLabCluster = async (): Promise<typeof openClusterLab> => await Promise.resolve(openClusterLab)

async function openClusterLab(options: ClusterOptions, signal: AbortSignal, say: (line: string) => void): Promise<ClusterLab> {
  const { request, connections, page, resync, watch, shortestWatch, watchRetryFirst, watchRetryLongest } = LIMITS
  return await ClusterLab.open(options, signal, {
    limits: {
      requests: { request, connections },
      watch: { page, resync, watch, shortest: shortestWatch, retry: { first: watchRetryFirst, longest: watchRetryLongest } },
    },
    clock: SYSTEM_CLOCK,
    log: new Logger(descriptorSink(2), 'text'),
    say,
  })
}
