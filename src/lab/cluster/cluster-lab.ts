import { randomBytes } from 'node:crypto'
import { messageOf, ProgramError } from '../../errors.ts'
import { ApiError, ApiServer, hasStatus, type RequestLimits } from '../../kubernetes/api-server.ts'
import { openCluster } from '../../kubernetes/cluster.ts'
import { ObjectWatch, type WatchLimits } from '../../kubernetes/object-watch.ts'
import { followLog } from '../../kubernetes/pod-log.ts'
import type { Logger } from '../../log.ts'
import type { Clock } from '../../os/clock.ts'
import { version } from '../../version.ts'
import type { Cell } from '../matrix/lab-record.ts'
import type { PlannedCell } from '../matrix/plan.ts'
import { until } from '../wait.ts'
import { CANNOT_RUN, reach, requireRights, words } from './access.ts'
import { AgentLink } from './agent-link.ts'
import { ClusterApi, PATHS } from './cluster-api.ts'
import { carryOutOnCluster, type RunParts } from './cluster-cell.ts'
import { describeLeftover, findLeftovers } from './leftovers.ts'
import { AGENT, RUN_LABEL, RUN_PREFIX } from './names.ts'
import { chooseNode, type ClusterNodeObject } from './node-choice.ts'
import { agentPod, CONTAINERS, namespace, type Placement } from './objects.ts'
import { containerOf, Pods, troubleOf } from './pods.ts'

/** Milliseconds for the agent's pod to run: its image may have to be pulled. */
const AGENT_DEADLINE = 300_000

/** Milliseconds after which the events of the agent's pod are read if it does not run. */
const EVENTS_AFTER = 5000

/** Milliseconds for the namespace of a run to go away. */
const END_DEADLINE = 180_000

/** Reasons of a waiting container whose image cannot be had. */
const NO_IMAGE = /^(ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|ImageInspectError|RegistryUnavailable)$/

/** Which cluster, and how the lab's pods come onto it. */
export interface ClusterOptions {
  /** The path of a kubeconfig. */
  readonly kubeconfig: string
  /** The name of a node; undefined: the only one, or the first that is ready. */
  readonly node: string | undefined
  readonly image: string
  readonly pullPolicy: Placement['pullPolicy']
  /** The kubelet's root folder on the node. */
  readonly kubelet: string
}

/** What a run says about its cluster (LabRecord.node). */
interface AboutCluster {
  readonly kernel: string
  readonly cpus: number
  readonly cluster: {
    readonly version: string
    readonly node: string
    readonly kubelet: string
    readonly runtime: string
    readonly image: string
  }
}

/** Limits, clock and log of a lab on a cluster. */
interface ClusterMeans {
  readonly limits: { readonly requests: RequestLimits; readonly watch: WatchLimits }
  readonly clock: Clock
  readonly log: Logger
  /** Tells the user something, in a line. */
  readonly say: (line: string) => void
}

/**
 * The lab on a cluster: a namespace of its own, and the agent on the node. `await using` it: it removes all that it has made, and throws ProgramError with
 * what it could not remove.
 */
export class ClusterLab implements AsyncDisposable {
  readonly about: AboutCluster
  readonly #parts: RunParts
  readonly #watching: AbortController
  readonly #left: string[] = []
  #cells = 0

  private constructor(about: AboutCluster, parts: RunParts, watching: AbortController) {
    this.about = about
    this.#parts = parts
    this.#watching = watching
  }

  /** Rejects with ProgramError that says what is missing and what to do, or with the signal's reason. Nothing is left on the cluster then. */
  static async open(options: ClusterOptions, signal: AbortSignal, means: ClusterMeans): Promise<ClusterLab> {
    try {
      return await ClusterLab.#open(options, signal, means)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof ProgramError) throw error
      throw new ProgramError(`the lab cannot run on the cluster: ${words(error)}`, CANNOT_RUN, { cause: error })
    }
  }

  static async #open(options: ClusterOptions, signal: AbortSignal, { limits, clock, log, say }: ClusterMeans): Promise<ClusterLab> {
    const cluster = await openCluster(options.kubeconfig, false, '--cluster').catch((error: unknown) => {
      throw new ProgramError(words(error), CANNOT_RUN, { cause: error })
    })
    const server = new ApiServer(cluster, limits.requests, clock)
    const api = new ClusterApi(server, signal)
    const gitVersion = await reach(api)
    const run = `${RUN_PREFIX}${randomBytes(4).toString('hex')}`
    await requireRights(api, run)
    const { node, of } = await chooseNode(api, options.node)
    const { name } = node.metadata
    for (const leftover of await findLeftovers(api, clock.wall())) say(describeLeftover(leftover))
    say(
      `cluster ${cluster.server}, Kubernetes ${gitVersion}; node ${name}${of === 1 ? '' : ` of ${of}`}; namespace and driver ${run}`,
    )

    const placement: Placement = { node: name, image: options.image, pullPolicy: options.pullPolicy, kubelet: options.kubelet }
    const watching = new AbortController()
    const pods = new Pods()
    try {
      await createNamespace(api, run)
      const watch = new ObjectWatch({
        ...{ api: server, path: PATHS.pods(run), query: {}, sink: pods, limits: limits.watch, clock, log },
      })
      watch.run(watching.signal).catch(() => undefined)
      const agent = await startAgent(api, run, placement, pods, say)
      const parts = { run, api: new ClusterApi(server, new AbortController().signal), agent, pods, placement }
      return new ClusterLab(aboutOf(node, gitVersion, options.image), parts, watching)
    } catch (error) {
      watching.abort()
      const left = await removeRun(new ClusterApi(server, AbortSignal.timeout(END_DEADLINE)), run)
      for (const one of left) say(one)
      throw error
    }
  }

  /** Carries a cell out. Its verdict is `not-run` if it could not be, with the reason. */
  async carryOut(planned: PlannedCell, signal: AbortSignal): Promise<Cell> {
    const { cell, left } = await carryOutOnCluster(planned, ++this.#cells, this.#parts, signal)
    this.#left.push(...left)
    return cell
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { api, agent, run } = this.#parts
    const left = await removeRun(api.until(AbortSignal.timeout(END_DEADLINE)), run)
    this.#watching.abort()
    agent[Symbol.dispose]()
    api.server.close()
    const all = [...this.#left, ...left]
    if (all.length > 0) throw new ProgramError(`the lab could not remove all that it made: ${all.join('; ')}`, 1)
  }
}

function aboutOf({ metadata, status }: ClusterNodeObject, gitVersion: string, image: string): AboutCluster {
  const { kernelVersion, kubeletVersion, containerRuntimeVersion } = status.nodeInfo
  return {
    kernel: kernelVersion,
    cpus: Math.max(1, Math.floor(Number(status.capacity.cpu ?? '1')) || 1),
    cluster: { version: gitVersion, node: metadata.name, kubelet: kubeletVersion, runtime: containerRuntimeVersion, image },
  }
}

async function createNamespace(api: ClusterApi, run: string): Promise<void> {
  try {
    await api.create(PATHS.namespaces, namespace(run))
  } catch (error) {
    api.signal.throwIfAborted()
    throw new ProgramError(`cannot create the namespace ${run}: ${words(error)}`, CANNOT_RUN, { cause: error })
  }
}

async function startAgent(
  api: ClusterApi,
  run: string,
  placement: Placement,
  pods: Pods,
  say: (line: string) => void,
): Promise<AgentLink> {
  const { image, node } = placement
  await createAgent(api, run, placement)
  const began = performance.now()
  const logged = { namespace: run, pod: AGENT, container: CONTAINERS.agent }
  const advice = `import the image on the node (docs/kubernetes.md, "The image"), or name another one with --image`
  const runs = async (): Promise<boolean> => {
    api.signal.throwIfAborted()
    const pod = pods.get(AGENT)
    const { state } = containerOf(pod, CONTAINERS.agent) ?? {}
    const reason = state?.waiting?.reason ?? ''
    if (NO_IMAGE.test(reason))
      throw new ProgramError(
        `node ${node} cannot get the image ${image}: ${reason}: ${state?.waiting?.message ?? ''}; ${advice}`,
        CANNOT_RUN,
      )
    if (state?.terminated != null || pod?.status.phase === 'Failed') {
      const said = await lastLine(api, logged)
      throw new ProgramError(
        `the lab's agent of the image ${image} has ended on node ${node}: ${said ?? (pod === undefined ? undefined : troubleOf(pod)) ?? 'nothing is known'}; name an image of this version of dummy-fuse-csi with --image`,
        CANNOT_RUN,
      )
    }
    if (state?.running != null) return true
    // The kubelet looks for the folder before it makes the container.
    const failure = performance.now() - began < EVENTS_AFTER ? undefined : await api.lastFailure(run, AGENT)
    if (failure?.startsWith('FailedMount') === true)
      throw new ProgramError(
        `node ${node} cannot start the lab's agent: ${failure}; name the kubelet's root folder on that node with --kubelet-dir`,
        CANNOT_RUN,
      )
    return false
  }
  await until(`the pod ${AGENT} of namespace ${run} runs`, runs, AGENT_DEADLINE, 200).catch(async (error: unknown) => {
    if (error instanceof ProgramError || api.signal.aborted) throw error
    const pod = pods.get(AGENT)
    const why = (pod === undefined ? undefined : troubleOf(pod)) ?? (await api.lastFailure(run, AGENT))
    throw new ProgramError(`the lab's agent does not start on node ${node}: ${why ?? messageOf(error)}`, CANNOT_RUN, {
      cause: error,
    })
  })
  const agent = await AgentLink.open(api.server.cluster, logged, api.signal).catch((error: unknown) => {
    api.signal.throwIfAborted()
    throw new ProgramError(`cannot reach the lab's agent on node ${node}: ${words(error)}`, CANNOT_RUN, { cause: error })
  })
  try {
    await compareVersions(agent, image, say)
  } catch (error) {
    agent[Symbol.dispose]()
    throw error
  }
  return agent
}

/** The Pod Security admission, and others, judge a pod when it is created. */
async function createAgent(api: ClusterApi, run: string, placement: Placement): Promise<void> {
  // The service account of a new namespace may come a moment later, where the admission wants one.
  const create = async (): Promise<boolean> => {
    try {
      await api.create(PATHS.pods(run), agentPod(run, placement))
      return true
    } catch (error) {
      if (hasStatus(error, 403) && /service ?account "?.*"? not found/i.test(words(error))) return false
      throw error
    }
  }
  await until(`the service account of namespace ${run} is there`, create, 30_000, 200).catch((error: unknown) => {
    api.signal.throwIfAborted()
    if (!(error instanceof ApiError) || error.status === undefined)
      throw new ProgramError(words(error), CANNOT_RUN, { cause: error })
    const security = error.message.includes('PodSecurity')
    throw new ProgramError(
      security
        ? `the Pod Security admission of the cluster forbids the lab's privileged pods: ${error.message}; let namespaces with the label pod-security.kubernetes.io/enforce=privileged have them, or exempt ${RUN_PREFIX}* in the configuration of the admission`
        : `the cluster does not take the lab's privileged pod (hostPID, hostPath): ${error.message}; allow such pods in the namespaces ${RUN_PREFIX}*`,
      CANNOT_RUN,
      { cause: error },
    )
  })
}

async function compareVersions(agent: AgentLink, image: string, say: (line: string) => void): Promise<void> {
  const theirs = await agent.ask('hello', {})
  const ours = version()
  if (theirs.version !== ours.version)
    throw new ProgramError(
      `the image ${image} has version ${theirs.version} of dummy-fuse-csi, and this lab is of version ${ours.version}; name an image of the same version with --image`,
      CANNOT_RUN,
    )
  if (theirs.commit !== ours.commit) say(`the image ${image} is of commit ${theirs.commit}, and this lab of commit ${ours.commit}`)
}

/** The last line of a container's log; undefined if there is none. */
async function lastLine({ server, signal }: ClusterApi, logged: Parameters<typeof followLog>[1]): Promise<string | undefined> {
  let last: string | undefined
  await followLog(server.cluster, logged, (line) => (last = line), { signal, time: 5000 }).catch(() => undefined)
  return last
}

/** Removes the namespace of a run and what it has outside of it. Resolves to what could not be removed, in words. */
async function removeRun(api: ClusterApi, run: string): Promise<readonly string[]> {
  const left: string[] = []
  const labelSelector = `${RUN_LABEL}=${run}`
  const attempt = async (what: string, act: () => Promise<void>): Promise<void> => {
    await act().catch((error: unknown) => {
      left.push(`${what}: ${messageOf(error)} (kubectl delete ${what})`)
    })
  }
  for (const [kind, path] of [
    ['persistentvolume', PATHS.volumes],
    ['csidriver', PATHS.drivers],
  ] as const) {
    await attempt(`${kind} --selector ${labelSelector}`, async () => {
      for (const { metadata } of await api.list(path, { labelSelector })) await api.remove(path, metadata.name)
    })
  }
  await attempt(`namespace ${run}`, async () => {
    await api.remove(PATHS.namespaces, run)
    const isGone = async (): Promise<boolean> => (await api.get(PATHS.namespaces, run)) === undefined
    await until(`the namespace ${run} is gone`, isGone, END_DEADLINE, 300)
  })
  return left
}
