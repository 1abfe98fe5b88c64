import { ContainerRuntime } from '../container-runtime.ts'
import { type Clock } from '../clock.ts'
import type { Programs } from '../command.ts'
import type { Failure } from '../failures/failure.ts'
import { Kubelet, VOLUME } from '../kubelet.ts'
import type { Mitigation } from '../mitigations/mitigation.ts'
import { SOCKET } from '../node-paths.ts'
import type { CellBench } from './bench.ts'
import { CellConsumer } from './cell-consumer.ts'
import type { ConsumerKind } from './consumers.ts'
import { ContainerPlugin } from './container-plugin.ts'
import { PrivateNode } from './private-node.ts'
import { ReadLog } from './read-log.ts'
import { VolumeOperations } from './volume-operations.ts'
import type { Timeline } from './timeline.ts'
import { VolumeDaemons } from './volume-daemons.ts'

/** Milliseconds for one of the kubelet's calls: a plugin that cannot answer is asked again. */
const CALL_DEADLINE = 3000

/** Puts a cell's node together; nothing runs yet. `startMs`: the cell's start on CLOCK_MONOTONIC. */
export function setUpCell(
  programs: Programs,
  failure: Failure,
  mitigation: Mitigation,
  kinds: readonly ConsumerKind[],
  timeline: Timeline,
  clock: Clock,
  startMs: number,
): CellBench {
  const kubelet = new Kubelet(SOCKET, CALL_DEADLINE)
  const operations = new VolumeOperations(kubelet, VOLUME)
  const early = failure.flaw !== undefined && mitigation.trustsDaemons ? ['--daemonize', 'early'] : []
  const flags = [...mitigation.pluginFlags, '--fuse-host', mitigation.hosting, ...early]
  const plugin = new ContainerPlugin(programs.plugin, flags, mitigation.hosting === 'child' ? ['dummy-fuse'] : [], timeline, clock)
  const daemons = new VolumeDaemons(plugin)
  const node = new PrivateNode(timeline, plugin, ['dummy-fuse'])
  const around = {
    ...{ clock, timeline, volume: VOLUME, operations, file: 'dummy-file.txt' },
    ...{ consumer: programs.consumer, runtime: new ContainerRuntime(programs.consumer) },
  }
  const consumers = kinds.map((kind) => new CellConsumer(mitigation.consumer?.(kind) ?? kind, new ReadLog(startMs), around))
  const startConsumers = async (): Promise<void> => {
    for (const consumer of consumers) if (consumer.kind.starts === 'before') consumer.want()
    await Promise.resolve()
  }
  return { clock, timeline, kubelet, volume: VOLUME, operations, plugin, daemons, node, consumers, startConsumers }
}
