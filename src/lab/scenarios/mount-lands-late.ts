import { stagingPath, targetPath } from '../node-paths.ts'
import type { Scenario } from '../scenario.ts'
import { until } from '../wait.ts'
import { answerOf, endAll, fileSystemsAt, MOUNT_TABLE, podWith, seeDisk, seeMounts } from './background-steps.ts'

const FLAWED = { id: 'flawed-volume', pv: 'flawed-pv' }
const CURED = { id: 'cured-volume', pv: 'cured-pv' }
const FUSE = 'fuse.dummy-fuse'
const DELAY = ['--inject', 'mount-delay=2']

/** blobfuse2 #1079, step by step: a mount that is made after the bind. */
export const mountLandsLate: Scenario = {
  name: 'mount-lands-late',
  summary:
    'a daemon returns before its mount is there (blobfuse2 #1079): the target ends up on two file systems, unpublishing it unmounts the source too, and the next pod writes to the disk of the node',
  run: async (bench) => {
    const { transcript, daemonSet, kubelet, runtime, shell, checks } = bench
    const [first, second] = [podWith(bench, 'first-pod', FLAWED), podWith(bench, 'second-pod', FLAWED)]
    const staging = stagingPath(FLAWED.pv)
    const target = targetPath(first.uid, FLAWED.pv)

    transcript.say(
      'The plugin has a flaw: it accepts a daemon that returns before its mount is there (serve --daemonize early). The mount takes two seconds (--inject mount-delay=2).',
    )
    const flawed = await daemonSet.start(['--no-restore-mounts', '--daemonize', 'early', ...DELAY])
    await kubelet.register()
    transcript.say('1. The background mount returns early.')
    checks.see('NodeStageVolume', await answerOf(kubelet.stage(FLAWED)), 'OK')
    checks.see('the staging path, once staged', fileSystemsAt(await seeMounts(bench), staging), 'nothing')

    transcript.say('2. The plugin binds the staging path to the target. The staging path is still the bare folder.')
    checks.see('NodePublishVolume', await answerOf(kubelet.publish(FLAWED, first.uid)), 'OK')
    checks.see('the target, once published', fileSystemsAt(await seeMounts(bench), target), 'tmpfs')

    transcript.say(
      '3. The FUSE mount is made at the staging path. Both mounts are shared, and the target is a bind of the folder that the FUSE mount covers. The mount propagates to the target, which now has two file systems.',
    )
    const landed = async (): Promise<boolean> =>
      /^\S*globalmount shows \S+ of fuse/m.test((await shell.quietly(MOUNT_TABLE)).output)
    await until('the FUSE mount lands', landed)
    const both = await seeMounts(bench)
    checks.see('the staging path, once it has landed', fileSystemsAt(both, staging), FUSE)
    checks.see('the target, once it has landed', fileSystemsAt(both, target), `tmpfs, ${FUSE}`)
    const { output } = await shell.onNode(`cat ${target}/dummy-file.txt`)
    checks.see('the target can be read', output, 'Hello world!')

    transcript.say('4. The pod ends, and its volume is unpublished. The unmount propagates too, and unmounts the source.')
    checks.see('NodeUnpublishVolume', await answerOf(kubelet.unpublish(FLAWED, first.uid)), 'OK')
    const after = await seeMounts(bench)
    checks.see('the target, once unpublished', fileSystemsAt(after, target), /^(?:nothing|tmpfs)$/, 'no FUSE mount')
    checks.see('the staging path, once the target is unpublished', fileSystemsAt(after, staging), 'nothing')

    transcript.say("5. The volume counts as staged, so the next pod gets the bare folder again, and writes to the node's disk.")
    checks.see('NodePublishVolume for the next pod', await answerOf(kubelet.publish(FLAWED, second.uid)), 'OK')
    await runtime.start(second)
    await shell.inPod(second, 'echo precious >/mnt/data.txt; ls /mnt')
    checks.see("the node's disk below the staging path", await seeDisk(bench, FLAWED), 'data.txt')
    second.container?.kill()
    await endAll(flawed)

    transcript.say(
      'The fix: Stage returns when the mount answers, and the bind is made after that. The mount takes two seconds as before.',
    )
    const cured = await daemonSet.start(['--no-restore-mounts', ...DELAY])
    await kubelet.register()
    const [third, fourth] = [podWith(bench, 'third-pod', CURED), podWith(bench, 'fourth-pod', CURED)]
    checks.see('NodeStageVolume with a waiting parent', await answerOf(kubelet.stage(CURED)), 'OK')
    for (const pod of [third, fourth]) await kubelet.publish(CURED, pod.uid)
    const well = await seeMounts(bench)
    checks.see('the staging path', fileSystemsAt(well, stagingPath(CURED.pv)), FUSE)
    checks.see('the target', fileSystemsAt(well, targetPath(third.uid, CURED.pv)), FUSE)
    checks.see('NodeUnpublishVolume', await answerOf(kubelet.unpublish(CURED, third.uid)), 'OK')
    checks.see('the staging path, once a target is unpublished', fileSystemsAt(await seeMounts(bench), stagingPath(CURED.pv)), FUSE)
    await runtime.start(fourth)
    const read = await shell.inPod(fourth, 'cat /mnt/dummy-file.txt')
    checks.see('the other pod reads', read.output, 'Hello world!')
    checks.see("the node's disk below the staging path is untouched", await seeDisk(bench, CURED), '')
    fourth.container?.kill()
    await endAll(cured)
  },
}
