import { randomUUID } from 'node:crypto'
import { stagingPath } from '../node-paths.ts'
import { volumeMounts } from '../matrix/evidence.ts'
import { until } from '../wait.ts'
import type { Failure } from './failure.ts'

/** Seconds from the daemon's return to its mount. */
const DELAY = '0.7'

/** blobfuse2 #1079. */
export const mountLate: Failure = {
  id: 'mount-late',
  title: 'Mount lands late',
  words:
    'The daemon goes to the background and mounts 0.7 s later (blobfuse2 #1079): the plugin may have bound the empty folder to the pods by then. Later one pod goes away, and its volume is unpublished.',
  flaw: ['--inject', `mount-delay=${DELAY}`],
  strike: async ({ kubelet, volume, staged, timeline }) => {
    const leaver = randomUUID()
    timeline.note('kubelet', 'log', 'a pod that is to go away again is given the volume')
    await until(
      'the volume is published',
      () =>
        staged.ensure().then(() => kubelet.publish(volume, leaver)).then(
          () => true,
          () => false,
        ),
      5000,
    )
    const staging = ` ${stagingPath(volume.pv)} `
    await until('the FUSE mount lands', () => volumeMounts('self').some((line) => line.includes(staging) && line.includes('fuse.')))
    timeline.note('node', 'log', 'the FUSE mount lands')
    await kubelet.unpublish(volume, leaver)
    timeline.note('kubelet', 'log', 'the pod has gone, its volume is unpublished')
  },
  mend: () => Promise.resolve(),
}
