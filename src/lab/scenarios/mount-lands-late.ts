import { mountLate } from '../failures/mount-late.ts'
import { stagingPath } from '../node-paths.ts'
import type { Scenario } from '../scenario.ts'
import { until } from '../wait.ts'
import { answerOf, fileSystemsAt, MOUNT_TABLE, seeDisk, seeMounts, startHalf } from './background-steps.ts'
import { podNamed } from './steps.ts'

const FLAWED = { id: 'flawed-volume', pv: 'flawed-pv' }
const CURED = { id: 'cured-volume', pv: 'cured-pv' }
const FUSE = 'fuse.dummy-fuse'

/** blobfuse2 #1079, step by step: a mount that is made after the bind. */
export const mountLandsLate: Scenario = {
  name: 'mount-lands-late',
  summary:
    'a daemon returns before its mount is there (blobfuse2 #1079): the target ends up on two file systems, unpublishing it unmounts the source too, and the next pod writes to the disk of the node',
  run: async (node) => {
    const { transcript, shell, checks } = node
    const staging = stagingPath(FLAWED.pv)

    transcript.say(
      'The plugin has a flaw: it accepts a daemon that returns before its mount is there (serve --daemonize early). The mount takes two seconds (--inject mount-delay=2).',
    )
    const flawed = await startHalf(node, {
      failure: mountLate,
      mitigation: 'none',
      pods: ['first-pod', 'second-pod'],
      volume: FLAWED,
    })
    const { kubelet, runtime } = flawed
    const { pod: first, target } = podNamed(flawed, 'first-pod')
    const { pod: second } = podNamed(flawed, 'second-pod')
    transcript.say('1. The background mount returns early.')
    checks.see('NodeStageVolume', await answerOf(kubelet.stage(FLAWED)), 'OK')
    checks.see('the staging path, once staged', fileSystemsAt(await seeMounts(node), staging), 'nothing')

    transcript.say('2. The plugin binds the staging path to the target. The staging path is still the bare folder.')
    checks.see('NodePublishVolume', await answerOf(kubelet.publish(FLAWED, first.uid)), 'OK')
    checks.see('the target, once published', fileSystemsAt(await seeMounts(node), target), 'tmpfs')

    transcript.say(
      '3. The FUSE mount is made at the staging path. Both mounts are shared, and the target is a bind of the folder that the FUSE mount covers. The mount propagates to the target, which now has two file systems.',
    )
    const landed = async (): Promise<boolean> =>
      /^\S*globalmount shows \S+ of fuse/m.test((await shell.quietly(MOUNT_TABLE)).output)
    await until('the FUSE mount lands', landed)
    const both = await seeMounts(node)
    checks.see('the staging path, once it has landed', fileSystemsAt(both, staging), FUSE)
    checks.see('the target, once it has landed', fileSystemsAt(both, target), `tmpfs, ${FUSE}`)
    const { output } = await shell.onNode(`cat ${target}/dummy-file.txt`)
    checks.see('the target can be read', output, 'Hello world!')

    transcript.say('4. The pod ends, and its volume is unpublished. The unmount propagates too, and unmounts the source.')
    checks.see('NodeUnpublishVolume', await answerOf(kubelet.unpublish(FLAWED, first.uid)), 'OK')
    const after = await seeMounts(node)
    checks.see('the target, once unpublished', fileSystemsAt(after, target), /^(?:nothing|tmpfs)$/, 'no FUSE mount')
    checks.see('the staging path, once the target is unpublished', fileSystemsAt(after, staging), 'nothing')

    transcript.say("5. The volume counts as staged, so the next pod gets the bare folder again, and writes to the node's disk.")
    checks.see('NodePublishVolume for the next pod', await answerOf(kubelet.publish(FLAWED, second.uid)), 'OK')
    await runtime.start(second)
    await shell.inPod(second, 'echo precious >/mnt/data.txt; ls /mnt')
    checks.see("the node's disk below the staging path", await seeDisk(node, FLAWED), 'data.txt')
    second.container?.kill()
    await flawed.plugin.kill()

    transcript.say(
      'The fix: Stage returns when the mount answers, and the bind is made after that. The mount takes two seconds as before.',
    )
    const cured = await startHalf(node, {
      failure: mountLate,
      mitigation: 'waiting-parent',
      pods: ['third-pod', 'fourth-pod'],
      volume: CURED,
    })
    const { pod: third, target: thirdTarget } = podNamed(cured, 'third-pod')
    const { pod: fourth } = podNamed(cured, 'fourth-pod')
    checks.see('NodeStageVolume with a waiting parent', await answerOf(kubelet.stage(CURED)), 'OK')
    for (const pod of [third, fourth]) await kubelet.publish(CURED, pod.uid)
    const well = await seeMounts(node)
    checks.see('the staging path', fileSystemsAt(well, stagingPath(CURED.pv)), FUSE)
    checks.see('the target', fileSystemsAt(well, thirdTarget), FUSE)
    checks.see('NodeUnpublishVolume', await answerOf(kubelet.unpublish(CURED, third.uid)), 'OK')
    checks.see('the staging path, once a target is unpublished', fileSystemsAt(await seeMounts(node), stagingPath(CURED.pv)), FUSE)
    await runtime.start(fourth)
    const read = await shell.inPod(fourth, 'cat /mnt/dummy-file.txt')
    checks.see('the other pod reads', read.output, 'Hello world!')
    checks.see("the node's disk below the staging path is untouched", await seeDisk(node, CURED), '')
    fourth.container?.kill()
    await cured.plugin.kill()
  },
}
