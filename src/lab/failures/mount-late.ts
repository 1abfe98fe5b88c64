import { randomUUID } from 'node:crypto'
import { nodeMounts } from '../cell/evidence.ts'
import { callUntilOk } from '../cell/volume-operations.ts'
import { stagingPath } from '../node-paths.ts'
import { until } from '../wait.ts'
import { type Failure, nothing } from './failure.ts'

/** Seconds from the daemon's return to its mount: enough for every pod to have the empty folder by then. */
const DELAY = '2'

/** blobfuse2 #1079. */
export const mountLate: Failure = {
  id: 'mount-late',
  title: 'Mount lands late',
  words:
    'The daemon goes to the background and mounts two seconds later (blobfuse2 #1079). By then the plugin may have bound the empty folder to the targets of the pods. Later one pod ends, and its volume is unpublished.',
  flaw: ['--inject', `mount-delay=${DELAY}`],
  // What a pod has written there by then must not keep the mount away; libfuse 3 does not ask any more.
  mountFlags: ['nonempty'],
  strike: async ({ operations, volume, consumers, timeline, clock }) => {
    const leaver = randomUUID()
    timeline.note('kubelet', 'log', 'a pod that is to go away again is given the volume')
    await callUntilOk('the volume is published', () => operations.publish(leaver))
    const staging = ` ${stagingPath(volume.pv)} `
    await until('the FUSE mount lands', () => nodeMounts().some((line) => line.includes(staging) && line.includes(' - fuse.')))
    const landed = timeline.note('node', 'log', 'the FUSE mount lands')
    const looked = (): boolean =>
      consumers.every(({ pid, reads }) => pid === undefined || reads.ended(landed).length >= 2 || clock() - landed > 1000)
    await until('those who run have seen it', looked)
    await callUntilOk('the volume is unpublished', () => operations.unpublish(leaver))
    timeline.note('kubelet', 'log', 'the pod has gone, its volume is unpublished')
  },
  mend: nothing,
}
