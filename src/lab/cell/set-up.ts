import type { Programs } from '../command.ts'
import { ContainerRuntime } from '../container-runtime.ts'
import type { Clock } from '../clock.ts'
import { driverContainer, nodeHelpers } from '../driver/container.ts'
import type { DriverSpec } from '../driver/spec.ts'
import type { Failure } from '../failures/failure.ts'
import { FuseMounts } from '../fuse-mounts.ts'
import { type Kubelet, NEIGHBOUR, STANDARD_DEADLINE, type Volume } from '../kubelet.ts'
import type { ConsumerSpec } from '../matrix/consumers.ts'
import type { Hosting, Mitigation } from '../mitigations.ts'
import { MountSnapshot } from '../mount-snapshot.ts'
import { DUMMY_FUSE, FUSED, FUSED_SOCKET, PLUGIN_FLAGS, SOCKET, stagingPath } from '../node-paths.ts'
import { PodCgroups } from '../pod-cgroups.ts'
import { CellConsumer } from './cell-consumer.ts'
import { ContainerPlugin } from './container-plugin.ts'
import { DriverDaemons } from './driver-daemons.ts'
import { fuseHolders, nodeMounts } from './evidence.ts'
import type { HelperControl, NodeEvidence, Patience, PluginControl } from './harness.ts'
import type { Helpers } from './helpers.ts'
import { HealthWatch, type WatchedVolume } from './health-watch.ts'
import { KeeperDaemons } from './keeper-daemons.ts'
import { MachineProcesses } from './machine-processes.ts'
import type { NodeDisk } from './node-disk.ts'
import { killUntilNone, othersOnNode } from './node-processes.ts'
import { PrivatePassingPod } from './passing-pod.ts'
import { PodReplacement } from './pod-replacement.ts'
import { PluginDaemons } from './plugin-daemons.ts'
import type { PrivateDaemons, PrivateHarness } from './private-harness.ts'
import { PrivateNode } from './private-node.ts'
import type { ReaderProgram } from './reader-programs.ts'
import { Replaceable } from './replaceable.ts'
import { SHIELD_FLAGS, ShieldDaemons } from './shield-daemons.ts'
import type { Timeline } from './timeline.ts'
import { UnitDaemons } from './unit-daemons.ts'
import { UnitPlugin } from './unit-plugin.ts'
import { VolumeOperations } from './volume-operations.ts'
import { STEP_DEADLINE } from '../wait.ts'

/** What a cell is about. */
export interface Subject {
  readonly failure: Failure
  readonly mitigation: Mitigation
  /** As they are without the mitigation. */
  readonly consumers: readonly ConsumerSpec[]
  /** The volume that the failure strikes. */
  readonly volume: Volume
}

/** What a cell is made of. */
export interface CellParts {
  readonly programs: Programs
  /** A plugin in the place of ours. */
  readonly driver?: DriverSpec | undefined
  /** The name, without `.slice`, of the slice that a cell under systemd has to itself. */
  readonly slice?: string | undefined
  readonly clock: Clock
  readonly timeline: Timeline
  readonly kubelet: Kubelet
  readonly disk: NodeDisk
  /** The program of the consumers. */
  readonly reader: ReaderProgram
}

const HOST_FLAGS: Readonly<Record<Hosting, readonly string[]>> = {
  child: ['--fuse-host', 'child'],
  detached: ['--fuse-host', 'detached'],
  'child-shared': ['--fuse-host', 'child', '--daemons', 'shared'],
  'detached-shared': ['--fuse-host', 'detached', '--daemons', 'shared'],
  systemd: ['--fuse-host', 'service', '--fused-socket', FUSED_SOCKET],
  keep: ['--fuse-host', 'service', '--fused-socket', FUSED_SOCKET],
  shield: SHIELD_FLAGS,
}

/** What this process sees of the private node. */
function evidenceOf(disk: NodeDisk): NodeEvidence {
  return {
    mounts: async () => await Promise.resolve(nodeMounts()),
    holders: async () => await Promise.resolve(fuseHolders()),
    disk: () => disk.files(),
  }
}

/** Milliseconds for one of the kubelet's calls once a failure has struck: it is to call a plugin again that does not answer, while the cell is watched. */
const CALL_DEADLINE = 3000

/** The same where a call may have to start more than a daemon: behind a shield, three processes one after the other. */
const CALL_DEADLINES: Readonly<Partial<Record<Hosting, number>>> = { shield: STANDARD_DEADLINE }

const PATIENCE: Patience = {
  start: STEP_DEADLINE + STANDARD_DEADLINE,
  outage: 1000,
  watch: 2000,
  settle: 8000,
  arrival: 0,
  mountDelay: 2,
  longRead: 1000,
  hang: 1300,
}

/** The pod that comes when all others have left. */
const NEW_POD: ConsumerSpec = {
  ...{ id: 'new-pod', title: 'New pod after the teardown', way: 'opens-anew', place: 'private' },
  ...{ volume: 'struck', starts: 'after', exitsOnError: false },
}

/** Processes that end with the plugin's container. */
const TAKES: Readonly<Partial<Record<Hosting, readonly string[]>>> = { child: [DUMMY_FUSE], 'child-shared': [FUSED] }

/** Whether a cell can be carried out only where systemd can be had. */
export function needsSystemd(failure: Failure, mitigation: Mitigation): boolean {
  return failure.needsSystemd === true || mitigation.hosting === 'systemd'
}

/** Puts a cell together on the private node that this process is on; nothing runs yet. */
export function setUpCell(subject: Subject, parts: CellParts): PrivateHarness {
  return harnessOf(subject, parts, pluginOf(subject, parts))
}

/** The same for somebody's driver. */
export function setUpDriverCell(
  subject: Subject,
  parts: CellParts & { readonly driver: DriverSpec },
): PrivateHarness<ContainerPlugin> {
  const { driver, timeline } = parts
  const container = driverContainer(driver, timeline)
  const node = nodeHelpers(driver, timeline)
  const all = [...(container.beside?.others ?? []), ...node.others]
  return harnessOf(subject, parts, new ContainerPlugin(container, timeline), { node, all, endOthers: enderOf(driver) })
}

/** What ends all that a driver has on its node. */
function enderOf({ systemd }: DriverSpec): () => Promise<void> {
  if (!systemd) return () => killUntilNone(othersOnNode)
  const machine = new MachineProcesses()
  return () => machine.end()
}

/** The same for a failure that needs no systemd, with our own plugin in a container. */
export function setUpContainerCell(subject: Subject, parts: CellParts): PrivateHarness<ContainerPlugin> {
  return harnessOf(subject, parts, containerPlugin(subject, parts))
}

/**
 * `brings`: of somebody's driver, the helpers that the machine starts, and all that are not the storage; and what ends all else that it has on the node.
 */
function harnessOf<P extends PluginControl>(
  subject: Subject,
  parts: CellParts,
  plugin: P,
  brings?: { readonly node: Helpers; readonly all: readonly HelperControl[]; readonly endOthers: () => Promise<void> },
): PrivateHarness<P> {
  const { clock, timeline, kubelet, driver, reader, disk } = parts
  const { volume } = subject
  const operations = new VolumeOperations(kubelet, volume)
  const neighbour = new VolumeOperations(kubelet, NEIGHBOUR)
  const runtime = new ContainerRuntime(reader.command, driver?.podCgroups === true ? new PodCgroups() : undefined)
  const around = { clock, timeline, runtime, reader, file: driver?.file ?? 'dummy-file.txt' }
  const consumer = (one: ConsumerSpec): CellConsumer => {
    const own = { ...around, operations: one.volume === 'neighbour' ? neighbour : operations }
    return new CellConsumer(subject.mitigation.consumer?.(one) ?? one, own)
  }
  const consumers = subject.consumers.map(consumer)
  const staging = stagingPath(volume.pv)
  const [struck, others] = (['struck', 'neighbour'] as const).map((one) => consumers.filter(({ kind }) => kind.volume === one)) as [
    CellConsumer[],
    CellConsumer[],
  ]
  const pods = new PodReplacement(struck, operations, timeline)
  const mounts = new MountSnapshot()
  const fuse = new FuseMounts()
  const paths = (): readonly string[] => [staging, ...struck.map(({ target }) => target)]
  const shielded = subject.mitigation.hosting === 'shield'
  const found = { plugin, fuse, paths, timeline, daemon: driver?.daemon, shielded }
  const daemons: PrivateDaemons =
    brings === undefined
      ? daemonsOf(subject, parts, plugin)
      : new DriverDaemons({ ...found, helpers: brings.node, endOthers: brings.endOthers })
  const helpers = brings?.all ?? daemons.helpers
  const node = new PrivateNode(timeline, { plugin, daemons, operations: [operations, neighbour], consumers, fuse, paths, mounts })
  const watched = [
    { operations, consumers: struck, pods },
    { operations: neighbour, consumers: others, pods: new PodReplacement(others, neighbour, timeline) },
  ] satisfies readonly WatchedVolume[]
  const storage = brings?.node.storage
  return {
    ...{ clock, timeline, kubelet, volume, operations, plugin, daemons, node, consumers, runtime, mounts },
    ...(storage === undefined ? {} : { storage }),
    ...(helpers === undefined ? {} : { helpers }),
    ...(daemons.holders === undefined ? {} : { holders: daemons.holders }),
    pods,
    ...{ evidence: evidenceOf(disk), patience: patienceWith(driver), stagingPath: staging },
    register: () => kubelet.register(),
    shortenCalls: () => kubelet.setDeadline(driver?.callTimeout ?? CALL_DEADLINES[subject.mitigation.hosting] ?? CALL_DEADLINE),
    passingPod: () => new PrivatePassingPod(operations),
    watchHealth: () =>
      new HealthWatch(
        kubelet,
        watched.filter((one) => one.consumers.length > 0),
        timeline,
      ),
    shell: (command) => node.shell(command),
    newPod: () => consumer({ ...NEW_POD, readsBack: consumers.flatMap(({ reads }) => reads.writes.files.map(({ file }) => file)) }),
  }
}

/** With a driver, which may be slower than ours. */
function patienceWith(driver: DriverSpec | undefined): Patience {
  if (driver === undefined) return PATIENCE
  const { callTimeout, watch } = driver
  return { ...PATIENCE, start: STEP_DEADLINE + callTimeout, watch, settle: Math.max(PATIENCE.settle, watch) }
}

function pluginOf(subject: Subject, parts: CellParts): PluginControl {
  const { programs, slice, timeline } = parts
  if (subject.failure.needsSystemd === true) {
    return new UnitPlugin(programs.plugin, pluginFlags(subject), sliceOf(slice), timeline)
  }
  return containerPlugin(subject, parts)
}

function containerPlugin(subject: Subject, { programs, timeline }: CellParts): ContainerPlugin {
  const program = new Replaceable(programs.plugin, 'plugin')
  const takes = TAKES[subject.mitigation.hosting] ?? []
  return new ContainerPlugin({ program, flags: pluginFlags(subject), takes, stop: 'SIGTERM', socket: SOCKET, env: {} }, timeline)
}

function pluginFlags({ failure, mitigation }: Subject): readonly string[] {
  const early = failure.flaw !== undefined && mitigation.trustsDaemons ? ['--daemonize', 'early'] : []
  return [...PLUGIN_FLAGS, ...mitigation.pluginFlags, ...HOST_FLAGS[mitigation.hosting], ...early]
}

function daemonsOf(
  { mitigation, volume }: Subject,
  { programs, slice, timeline }: CellParts,
  plugin: PluginControl,
): PrivateDaemons {
  switch (mitigation.hosting) {
    case 'child':
    case 'detached':
      return new PluginDaemons(plugin, [DUMMY_FUSE], stagingPath(volume.pv))
    case 'child-shared':
    case 'detached-shared':
      return new PluginDaemons(plugin, [FUSED])
    case 'systemd':
      return new UnitDaemons(programs.fused, sliceOf(slice), timeline)
    case 'keep':
      return new KeeperDaemons(programs.keep, programs.fused, timeline)
    case 'shield':
      return new ShieldDaemons(programs, stagingPath(volume.pv))
  }
}

function sliceOf(slice: string | undefined): string {
  if (slice === undefined) throw new Error('this cell needs systemd')
  return slice
}
