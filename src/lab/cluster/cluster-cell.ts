import { messageOf } from '../../errors.ts'
import { unlessAborted } from '../../call-context.ts'
import type { Harness, Patience } from '../cell/harness.ts'
import { observeCell } from '../cell/observe.ts'
import { labConsumer } from '../cell/reader-programs.ts'
import { Timeline } from '../cell/timeline.ts'
import { PROBE } from '../consumer/probe.ts'
import { CONSUMERS } from '../matrix/consumers.ts'
import type { Cell } from '../matrix/lab-record.ts'
import type { PlannedCell } from '../matrix/plan.ts'
import { notRun } from '../matrix/run-cells.ts'
import { FUSED } from '../node-paths.ts'
import { until } from '../wait.ts'
import type { AgentLink } from './agent-link.ts'
import { type ClusterApi, PATHS } from './cluster-api.ts'
import { ClusterConsumer } from './cluster-consumer.ts'
import { ContainerDaemons, FusedPod } from './cluster-daemons.ts'
import { ClusterNode } from './cluster-node.ts'
import { ClusterPassingPod } from './cluster-passing-pod.ts'
import { ClusterPlugin } from './cluster-plugin.ts'
import { CellDaemonSet } from './daemon-set.ts'
import { followContainers } from './log-follower.ts'
import { CELL_LABEL, CellNames, COMPONENT_LABEL } from './names.ts'
import { claim, CONTAINERS, csiDriver, daemonSetName, persistentVolume, type Placement } from './objects.ts'
import type { Pods } from './pods.ts'

/** Images may have to be pulled, and a kubelet waits up to 10 s, then longer, before it starts a container again. */
const PATIENCE: Patience = {
  ...{ start: 180_000, outage: 3000, watch: 5000, settle: 90_000, arrival: 5000, longRead: 2500, hang: 3800 },
  // On two processors the pods of three cells take up to 20 s.
  mountDelay: 30,
}

/** Seconds for a call of the plugin, in a cell whose mount is late: some mitigations wait for the mount within a call. */
const FLAWED_CALL_DEADLINE = PATIENCE.mountDelay + 15

/** Milliseconds until the kubelet has the driver registered. */
const REGISTER_DEADLINE = 60_000

/** Milliseconds that pods, mounts and objects have to go away at the end of a cell. */
const END_DEADLINE = 120_000

/** What the cells of a run have in common. */
export interface RunParts {
  readonly run: string
  readonly api: ClusterApi
  readonly agent: AgentLink
  readonly pods: Pods
  readonly placement: Placement
}

/** How a cell ended: what was seen, and what is left of it on the cluster, in words. */
interface CarriedOut {
  readonly cell: Cell
  readonly left: readonly string[]
}

/**
 * Carries a cell out on the node of a run, with a driver of its own, and removes everything again. `number`: of the cell in its run. `signal` ends it early;
 * what it has made is removed all the same.
 */
export async function carryOutOnCluster(
  planned: PlannedCell,
  number: number,
  parts: RunParts,
  signal: AbortSignal,
): Promise<CarriedOut> {
  const { agent } = parts
  const names = new CellNames(parts.run, number, parts.placement.kubelet)
  const startedAt = new Date().toISOString()
  if (agent.lost !== undefined) return { cell: notRun(planned, agent.lost.message, startedAt, 0), left: [] }
  const startMs = agent.now()
  const clock = (): number => Math.round((agent.now() - startMs) * 10) / 10
  const timeline = new Timeline(clock)
  const over = new AbortController()
  const api = parts.api.until(AbortSignal.any([signal, over.signal]))
  const { failure, mitigation, consumers: expectations } = planned
  const set = setUp(planned, { ...parts, api }, names, { clock, timeline, startMs })
  let cell: Cell
  try {
    await createVolumes(api, names, failure.mountFlags ?? [])
    const observed = observeCell(set.harness, { failure, mitigation, expectations, startedAt })
    cell = await unlessAborted(observed, signal)
  } catch (error) {
    const reason = signal.aborted ? 'it was interrupted' : `${messageOf(error)}${set.complaints()}${timeline.lastWords()}`
    cell = notRun(planned, reason, startedAt, clock())
  } finally {
    over.abort()
    for (const consumer of set.consumers) consumer.stop()
    set.stop()
  }
  return { cell, left: await tearDown(parts, names, set) }
}

/** A cell that is set up; nothing of it is on the cluster. */
interface SetUp {
  readonly harness: Harness
  readonly node: ClusterNode
  readonly consumers: readonly ClusterConsumer[]
  /** What Kubernetes says about pods that do not run, for the error of a cell. */
  readonly complaints: () => string
  readonly stop: () => void
}

function setUp(
  { failure, mitigation, consumers: expectations }: PlannedCell,
  { api, agent, pods, placement }: RunParts,
  names: CellNames,
  { clock, timeline, startMs }: { clock: () => number; timeline: Timeline; startMs: number },
): SetUp {
  const parts = { api, agent, pods, names }
  const pluginSet = new CellDaemonSet(parts, 'plugin', 'dummy-fuse-csi', names.pluginSocket)
  const flags = failure.flaw === undefined ? [] : [`--call-deadline=${FLAWED_CALL_DEADLINE}`]
  if (failure.flaw !== undefined && mitigation.trustsDaemons) flags.push('--daemonize=early')
  const plugin = new ClusterPlugin({ daemonSet: pluginSet, agent, names, placement, mitigation, flags, timeline })
  const fusedSet = new CellDaemonSet(parts, 'fused', FUSED, names.fusedSocket)
  const shared = mitigation.hosting === 'child-shared' || mitigation.hosting === 'detached-shared'
  const daemons =
    mitigation.hosting === 'keep'
      ? new FusedPod(agent, fusedSet, names, placement, timeline)
      : new ContainerDaemons(agent, pluginSet, plugin, shared ? undefined : names.staging('struck'))
  const around = { ...parts, placement, clock, timeline, reader: labConsumer({ executable: '', args: [], argv0: '' }, startMs) }
  const consumers = CONSUMERS.filter(({ id }) => Object.hasOwn(expectations, id)).map(
    (kind) => new ClusterConsumer(mitigation.consumer?.(kind) ?? kind, around),
  )
  const node = new ClusterNode(agent, {
    ...{ plugin, daemons, names },
    podUids: () => [...pluginSet.podUids, ...fusedSet.podUids],
    targets: () => consumers.filter(({ started }) => started).map(({ target }) => target),
  })
  timeline.lane('node', 'process', 'Node')
  timeline.lane('kubelet', 'process', 'Kubelet')
  const harness: Harness = {
    ...{ clock, timeline, plugin, daemons, node, consumers, evidence: node, patience: PATIENCE },
    stagingPath: names.staging('struck'),
    register: async () => {
      const knows = async (): Promise<boolean> => await isRegistered(api, placement.node, names.driver)
      await until(`the kubelet has the driver ${names.driver} registered`, knows, REGISTER_DEADLINE, 200)
    },
    // The calls are a real kubelet's.
    shortenCalls: () => undefined,
    passingPod: () => new ClusterPassingPod(around),
    watchHealth: () => {
      throw new Error('the lab does not watch health on a cluster')
    },
  }
  const complaints = (): string => {
    const all = consumers.flatMap(({ kind, failed, complaint }) => {
      const words = failed?.message ?? complaint
      return words === '' ? [] : [`${kind.id}: ${words}`]
    })
    return all.length === 0 ? '' : ` (${all.join('; ')})`
  }
  return { harness, node, consumers, complaints, stop: followDaemonSets({ api, pods }, names, timeline) }
}

/** Puts the logs of the plugin and of dummy-fused on their lanes. */
function followDaemonSets({ api, pods }: Pick<RunParts, 'api' | 'pods'>, names: CellNames, timeline: Timeline): () => void {
  const followed = new Set<string>()
  return pods.onChange(({ metadata: { name, labels } }) => {
    const component = labels[COMPONENT_LABEL]
    if (labels[CELL_LABEL] !== names.driver || followed.has(name)) return
    if (component !== 'plugin' && component !== 'fused') return
    followed.add(name)
    const logged = { namespace: names.run, pod: name, container: CONTAINERS[component] }
    const lane = component === 'plugin' ? 'plugin' : FUSED
    followContainers(api, pods, logged, (line) => timeline.logNow(lane, line)).catch(() => undefined)
  })
}

async function createVolumes(api: ClusterApi, names: CellNames, mountOptions: readonly string[]): Promise<void> {
  await api.create(PATHS.drivers, csiDriver(names))
  for (const which of ['struck', 'neighbour'] as const) {
    await api.create(PATHS.volumes, persistentVolume(names, which, which === 'struck' ? mountOptions : []))
    await api.create(PATHS.claims(names.run), claim(names, which))
  }
}

async function isRegistered(api: ClusterApi, node: string, driver: string): Promise<boolean> {
  const found = await api.get(PATHS.csiNodes, node)
  const { drivers } = (found?.spec ?? {}) as { readonly drivers?: readonly { readonly name: string }[] | null }
  return drivers?.some(({ name }) => name === driver) === true
}

/** Removes what a cell has made, step by step: what fails is told of, and the next step is tried all the same. */
async function tearDown(
  { api: runApi, agent, pods }: RunParts,
  names: CellNames,
  { node, harness }: SetUp,
): Promise<readonly string[]> {
  const api = runApi.until(AbortSignal.timeout(3 * END_DEADLINE))
  const left: string[] = []
  const step = async (what: string, act: () => Promise<void>): Promise<void> => {
    await act().catch((error: unknown) => {
      left.push(`${what}: ${messageOf(error)}`)
    })
  }
  const podsOf = async (component: string): Promise<readonly string[]> =>
    (await api.list(PATHS.pods(names.run), { labelSelector: `${CELL_LABEL}=${names.driver},${COMPONENT_LABEL}=${component}` })).map(
      ({ metadata }) => metadata.name,
    )
  await step('daemons of the cell may be stopped', async () => {
    await harness.daemons.resume().catch(() => undefined)
    await node.tidy(PROBE)
  })
  await step(`pods of the driver ${names.driver} in namespace ${names.run}`, async () => {
    for (const name of await podsOf('consumer')) await api.remove(PATHS.pods(names.run), name)
    await until('the pods of the cell are gone', async () => (await podsOf('consumer')).length === 0, END_DEADLINE, 200)
  })
  await step(`mounts of the driver ${names.driver} on the node`, async () => {
    const isFree = async (): Promise<boolean> => (await agent.ask('mounts', { texts: names.mountTexts })).length === 0
    await until('its volumes are unmounted', isFree, END_DEADLINE / 2, 200)
  })
  await step(`DaemonSets of the driver ${names.driver} in namespace ${names.run}`, async () => {
    for (const component of ['plugin', 'fused'] as const)
      await api.remove(PATHS.daemonSets(names.run), daemonSetName(names, component))
    const areGone = (): boolean => pods.labelled(CELL_LABEL, names.driver).length === 0
    await until('its pods are gone', areGone, END_DEADLINE, 200)
  })
  await step(`objects of the driver ${names.driver}`, async () => {
    for (const which of ['struck', 'neighbour'] as const) {
      await api.remove(PATHS.claims(names.run), names.volume(which))
      await api.remove(PATHS.volumes, names.volume(which))
    }
    await api.remove(PATHS.drivers, names.driver)
  })
  await step(`folders of the driver ${names.driver} on the node`, async () => {
    const mounted = await agent.ask('remove', { folders: names.folders })
    if (mounted.length > 0)
      left.push(`the driver ${names.driver} has left mounts on the node, which were unmounted: ${mounted.join(', ')}`)
  })
  return left
}
