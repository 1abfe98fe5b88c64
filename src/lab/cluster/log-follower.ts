import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError } from '../../kubernetes/api-server.ts'
import { followLog, type LoggedContainer } from '../../kubernetes/pod-log.ts'
import type { ClusterApi } from './cluster-api.ts'
import { containerOf, type Pods } from './pods.ts'

/** Milliseconds until the log of a container is there, and between two attempts. */
const LOG_DEADLINE = 10_000
const LOG_RETRY = 300

/**
 * Follows the logs of a pod's container, one after the other as it is started again. `onLine` may get a line twice: an answer also ends when the kubelet restarts,
 * and then the log is read again from its beginning. `onEnd`: the log of one container is complete. Rejects once the signal of the API is aborted.
 */
export async function followContainers(
  api: ClusterApi,
  pods: Pods,
  logged: LoggedContainer,
  onLine: (line: string) => void,
  onEnd: () => void = () => undefined,
): Promise<never> {
  const { signal, server } = api
  let done = ''
  for (;;) {
    signal.throwIfAborted()
    const { containerID: current = '', state } = containerOf(pods.get(logged.pod), logged.container) ?? {}
    const has = current !== '' && current !== done && (state?.running != null || state?.terminated != null)
    if (!has) {
      await sleep(LOG_RETRY / 3, undefined, { signal })
      continue
    }
    try {
      await followLog(server.cluster, logged, onLine, { signal, time: LOG_DEADLINE })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      await sleep(LOG_RETRY, undefined, { signal })
      continue
    }
    await sleep(LOG_RETRY, undefined, { signal })
    const now = containerOf(pods.get(logged.pod), logged.container)
    if (now?.containerID === current && now.state.running != null) continue
    done = current
    onEnd()
  }
}
