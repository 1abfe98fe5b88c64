import type { Scenario } from '../scenario.ts'
import { answerOf, endAll, fileSystemsAt, podWith, seeDisk, seeMounts } from './background-steps.ts'
import { stagingPath, targetPath } from '../node-paths.ts'

const FLAWED = { id: 'flawed-volume', pv: 'flawed-pv' }
const CURED = { id: 'cured-volume', pv: 'cured-pv' }

/** blobfuse2 #1081: a mount that fails in the background, without an error for its caller. */
export const mountFailsUnnoticed: Scenario = {
  name: 'mount-fails-unnoticed',
  summary:
    'a daemon goes to the background and then fails to mount (blobfuse2 #1081): its pod writes to the disk of the node; with a waiting parent no pod starts',
  run: async (bench) => {
    const { transcript, daemonSet, kubelet, runtime, shell, checks } = bench
    const pod = podWith(bench, 'unlucky-pod', FLAWED)
    const target = targetPath(pod.uid, FLAWED.pv)

    transcript.say(
      'The plugin has a flaw: it starts a daemon that goes to the background before it mounts, and takes exit status 0 for success (serve --daemonize early). The storage does not answer, so the mount fails (--inject mount-fail).',
    )
    const flawed = await daemonSet.start(['--no-restore-mounts', '--daemonize', 'early', '--inject', 'mount-fail'])
    await kubelet.register()
    checks.see('NodeStageVolume of the flawed plugin', await answerOf(kubelet.stage(FLAWED)), 'OK')
    checks.see('NodePublishVolume of the flawed plugin', await answerOf(kubelet.publish(FLAWED, pod.uid)), 'OK')
    transcript.log(flawed.log)
    transcript.say('No call reports the failure. Nothing is mounted at the staging path, and the pod gets its bare folder.')
    const table = await seeMounts(bench)
    checks.see('the staging path', fileSystemsAt(table, stagingPath(FLAWED.pv)), 'nothing')
    checks.see('the target', fileSystemsAt(table, target), 'tmpfs')

    transcript.say('The pod starts and does not find its file. It makes one.')
    await runtime.start(pod)
    const written = await shell.inPod(pod, 'cat /mnt/dummy-file.txt; echo precious >/mnt/data.txt; ls /mnt')
    checks.see('the pod', written.output, /No such file or directory\ndata\.txt$/, 'has no file, and makes one')
    transcript.say("Its data is on the node's own disk, and not on the volume.")
    checks.see("the node's disk below the staging path", await seeDisk(bench, FLAWED), 'data.txt')
    pod.container?.kill()
    await endAll(flawed)

    transcript.say('The fix: the parent process waits until the mount answers or the daemon ends, and passes on its error.')
    const cured = await daemonSet.start(['--no-restore-mounts', '--inject', 'mount-fail'])
    await kubelet.register()
    const answer = await answerOf(kubelet.stage(CURED))
    transcript.log(cured.log)
    checks.see('NodeStageVolume with a waiting parent', answer, /INTERNAL: /, 'INTERNAL, and why')
    checks.see('the staging path', fileSystemsAt(await seeMounts(bench), stagingPath(CURED.pv)), 'nothing')
    transcript.say('The kubelet gets the error and calls again. No pod starts before the volume is mounted.')
    await endAll(cured)
  },
}
