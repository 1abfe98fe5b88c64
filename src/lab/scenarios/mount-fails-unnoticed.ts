import type { Scenario } from '../scenario.ts'
import { mountFails } from '../failures/mount-fails.ts'
import { stagingPath } from '../node-paths.ts'
import { answerOf, fileSystemsAt, seeDisk, seeMounts, startHalf } from './background-steps.ts'
import { podNamed } from './steps.ts'

const FLAWED = { id: 'flawed-volume', pv: 'flawed-pv' }
const CURED = { id: 'cured-volume', pv: 'cured-pv' }

/** blobfuse2 #1081: a mount that fails in the background, without an error for its caller. */
export const mountFailsUnnoticed: Scenario = {
  name: 'mount-fails-unnoticed',
  summary:
    'a daemon goes to the background and then fails to mount (blobfuse2 #1081): its pod writes to the disk of the node; with a waiting parent no pod starts',
  run: async (node) => {
    const { transcript, shell, checks } = node
    transcript.say(
      'The plugin has a flaw: it starts a daemon that goes to the background before it mounts, and takes exit status 0 for success (serve --daemonize early). The storage does not answer, so the mount fails (--inject mount-fail).',
    )
    const flawed = await startHalf(node, { failure: mountFails, mitigation: 'none', pods: ['unlucky-pod'], volume: FLAWED })
    const { kubelet, runtime } = flawed
    const { pod, target } = podNamed(flawed, 'unlucky-pod')
    checks.see('NodeStageVolume of the flawed plugin', await answerOf(kubelet.stage(FLAWED)), 'OK')
    checks.see('NodePublishVolume of the flawed plugin', await answerOf(kubelet.publish(FLAWED, pod.uid)), 'OK')
    transcript.log(flawed.plugin.log)
    transcript.say('No call reports the failure. Nothing is mounted at the staging path, and the pod gets its bare folder.')
    const table = await seeMounts(node)
    checks.see('the staging path', fileSystemsAt(table, stagingPath(FLAWED.pv)), 'nothing')
    checks.see('the target', fileSystemsAt(table, target), 'tmpfs')

    transcript.say('The pod starts and does not find its file. It makes one.')
    await runtime.start(pod)
    const written = await shell.inPod(pod, 'cat /mnt/dummy-file.txt; echo precious >/mnt/data.txt; ls /mnt')
    checks.see('the pod', written.output, /No such file or directory\ndata\.txt$/, 'has no file, and makes one')
    transcript.say("Its data is on the node's own disk, and not on the volume.")
    checks.see("the node's disk below the staging path", await seeDisk(node, FLAWED), 'data.txt')
    pod.container?.kill()
    await flawed.plugin.kill()

    transcript.say('The fix: the parent process waits until the mount answers or the daemon ends, and passes on its error.')
    const cured = await startHalf(node, { failure: mountFails, mitigation: 'waiting-parent', pods: [], volume: CURED })
    const answer = await answerOf(kubelet.stage(CURED))
    transcript.log(cured.plugin.log)
    checks.see('NodeStageVolume with a waiting parent', answer, /INTERNAL: /, 'INTERNAL, and why')
    checks.see('the staging path', fileSystemsAt(await seeMounts(node), stagingPath(CURED.pv)), 'nothing')
    transcript.say('The kubelet gets the error and calls again. No pod starts before the volume is mounted.')
    await cured.plugin.kill()
  },
}
