import { STEP_DEADLINE, until } from '../wait.ts'
import { type Failure, nothing } from './failure.ts'

/** blobfuse2 #1079. */
export const mountLate: Failure = {
  id: 'mount-late',
  title: 'Mount lands late',
  words:
    'The daemon goes to the background and mounts some seconds later (blobfuse2 #1079). By then the plugin may have bound the empty folder to the targets of the pods. Later one pod ends, and its volume is unpublished.',
  flaw: (mountDelay) => ['--inject', `mount-delay=${mountDelay}`],
  // What a pod has written there by then must not keep the mount away; libfuse 3 does not ask any more.
  mountFlags: ['nonempty'],
  strike: async (harness) => {
    const { evidence, stagingPath, consumers, timeline, clock } = harness
    const leaver = harness.passingPod()
    timeline.note('kubelet', 'log', 'a pod that is to go away again is given the volume')
    await leaver.arrive()
    const isIt = (line: string): boolean => line.includes(` ${stagingPath} `) && line.includes(' - fuse.')
    const deadline = STEP_DEADLINE + 1000 * harness.patience.mountDelay
    await until('the FUSE mount lands', async () => (await evidence.mounts()).some(isIt), deadline)
    const landed = timeline.note('node', 'log', 'the FUSE mount lands')
    const looked = (): boolean =>
      consumers.every(({ pid, reads }) => pid === undefined || reads.ended(landed).length >= 2 || clock() - landed > 1000)
    await until('those who run have seen it', looked)
    await leaver.depart()
    timeline.note('kubelet', 'log', 'the pod has gone, its volume is unpublished')
  },
  mend: nothing,
}
