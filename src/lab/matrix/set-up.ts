import { withArgs } from '../command.ts'
import { placeFlags } from '../daemon-set.ts'
import { driverContainer } from '../driver/container.ts'
import { ContainerRuntime } from '../container-runtime.ts'
import type { Clock } from '../clock.ts'
import type { Failure } from '../failures/failure.ts'
import { Kubelet, NEIGHBOUR, VOLUME } from '../kubelet.ts'
import type { Hosting, Mitigation } from '../mitigations.ts'
import { SOCKET, stagingPath } from '../node-paths.ts'
import type { CellHarness, DaemonControl, PluginControl } from './cell-harness.ts'
import { CellConsumer } from './cell-consumer.ts'
import type { ConsumerKind } from './consumers.ts'
import { ContainerPlugin } from './container-plugin.ts'
import { FUSED_SOCKET } from './fused-place.ts'
import type { CellJob } from './job.ts'
import { KeeperDaemons } from './keeper-daemons.ts'
import { PluginDaemons } from './plugin-daemons.ts'
import { PrivateNode } from './private-node.ts'
import { ReadLog } from './read-log.ts'
import type { Timeline } from './timeline.ts'
import { Replaceable } from './replaceable.ts'
import { UnitDaemons } from './unit-daemons.ts'
import { UnitPlugin } from './unit-plugin.ts'
import { VolumeOperations } from './volume-operations.ts'

/** Milliseconds for one of the kubelet's calls: a plugin that cannot answer is asked again. */
const CALL_DEADLINE = 3000

/** What a cell is about. */
export interface Subject {
  readonly failure: Failure
  readonly mitigation: Mitigation
  readonly kinds: readonly ConsumerKind[]
}

const HOSTS: Readonly<Record<Hosting, readonly string[]>> = {
  child: ['--fuse-host', 'child'],
  detached: ['--fuse-host', 'detached'],
  'child-shared': ['--fuse-host', 'child', '--daemons', 'shared'],
  'detached-shared': ['--fuse-host', 'detached', '--daemons', 'shared'],
  systemd: ['--fuse-host', 'service', '--fused-socket', FUSED_SOCKET],
  keep: ['--fuse-host', 'service', '--fused-socket', FUSED_SOCKET],
}

/** Processes that end with the plugin's container. */
const TAKES: Readonly<Partial<Record<Hosting, readonly string[]>>> = { child: ['dummy-fuse'], 'child-shared': ['dummy-fused'] }

/** Whether a cell can be carried out only where systemd can be had. */
export function needsSystemd(failure: Failure, mitigation: Mitigation): boolean {
  return failure.needsSystemd === true || mitigation.hosting === 'systemd'
}

/** Puts a cell's node together; nothing runs yet. `startMs`: the cell's start on CLOCK_MONOTONIC. */
export function setUpCell(job: CellJob, subject: Subject, timeline: Timeline, clock: Clock, startMs: number): CellHarness {
  const { programs, driver } = job
  const { mitigation, kinds } = subject
  const kubelet = new Kubelet(SOCKET, CALL_DEADLINE)
  const volume = driver?.volume ?? { ...VOLUME, mountFlags: subject.failure.mountFlags ?? [] }
  const operations = new VolumeOperations(kubelet, volume)
  const neighbour = new VolumeOperations(kubelet, NEIGHBOUR)
  const plugin = pluginOf(job, subject, timeline, clock)
  const daemons =
    driver === undefined
      ? daemonsOf(job, mitigation, plugin, timeline, clock)
      : new PluginDaemons(plugin, driver.daemon === undefined ? [] : [driver.daemon])
  const node = new PrivateNode(timeline, plugin, daemons)
  const consumer = driver === undefined ? programs.consumer : withArgs(programs.consumer, ['--expect', driver.content])
  const around = {
    ...{ clock, timeline, file: driver?.file ?? 'dummy-file.txt' },
    ...{ consumer, runtime: new ContainerRuntime(consumer) },
  }
  const consumers = kinds.map((kind) => {
    const own = { ...around, operations: kind.volume === 'neighbour' ? neighbour : operations }
    return new CellConsumer(mitigation.consumer?.(kind) ?? kind, new ReadLog(startMs), own)
  })
  const startConsumers = async (): Promise<void> => {
    for (const consumer of consumers) if (consumer.kind.starts === 'before') consumer.want()
    await Promise.resolve()
  }
  return { clock, timeline, kubelet, volume, operations, neighbour, plugin, daemons, node, consumers, startConsumers }
}

function pluginOf(
  { programs, slice, driver }: CellJob,
  { failure, mitigation }: Subject,
  timeline: Timeline,
  clock: Clock,
): PluginControl {
  if (driver !== undefined) return new ContainerPlugin(driverContainer(driver), timeline, clock)
  const early = failure.flaw !== undefined && mitigation.trustsDaemons ? ['--daemonize', 'early'] : []
  const flags = [...mitigation.pluginFlags, ...HOSTS[mitigation.hosting], ...early]
  if (failure.needsSystemd === true) return new UnitPlugin(programs.plugin, flags, sliceOf(slice), timeline)
  const takes = TAKES[mitigation.hosting] ?? []
  const program = new Replaceable(programs.plugin, 'plugin')
  return new ContainerPlugin({ program, place: placeFlags(), flags, takes, stop: 'SIGTERM' }, timeline, clock)
}

function daemonsOf(
  { programs, slice }: CellJob,
  { hosting }: Mitigation,
  plugin: PluginControl,
  timeline: Timeline,
  clock: Clock,
): DaemonControl {
  switch (hosting) {
    case 'child':
    case 'detached':
      return new PluginDaemons(plugin, ['dummy-fuse'], stagingPath(VOLUME.pv))
    case 'child-shared':
    case 'detached-shared':
      return new PluginDaemons(plugin, ['dummy-fused'])
    case 'systemd':
      return new UnitDaemons(programs.fused, sliceOf(slice), timeline)
    case 'keep':
      return new KeeperDaemons(programs.keep, programs.fused, timeline, clock)
  }
}

function sliceOf(slice: string | undefined): string {
  if (slice === undefined) throw new Error('this cell needs systemd')
  return slice
}
