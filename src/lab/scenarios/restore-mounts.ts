import type { Scenario } from '../scenario.ts'
import { firstRight, killPlugin, mountVolume, placesOnNode, podSpec, READS, seeDead, seeFailingReads, seeServed } from './steps.ts'

const FLAGS = ['--restore-mounts']

/** The second demonstration of the original project: the plugin restores its mounts, which repairs the node and only some of the pods. */
export const restoreMounts: Scenario = {
  name: 'restore-mounts',
  summary: 'the restarted plugin restores its mounts: the node has them again, pods only by path and where mounts propagate',
  run: async (bench) => {
    const { transcript, daemonSet, kubelet, runtime, shell, checks, clock } = bench
    const above = { mounts: 'folder above', propagation: 'HostToContainer' } as const
    const isolated = bench.newPod(podSpec('private-pod'))
    const slaveVolume = bench.newPod(podSpec('slave-volume-pod', { propagation: 'HostToContainer' }))
    const slaveFolder = bench.newPod(podSpec('slave-folder-pod', above))
    const keepsOpen = bench.newPod(podSpec('keep-open-pod', { ...above, flags: [...READS, '--keep-open'] }))
    const pods = [isolated, slaveVolume, slaveFolder, keepsOpen]

    const plugin = await mountVolume(bench, FLAGS, pods)
    for (const each of pods) await runtime.start(each)
    transcript.say(
      'Four pods read the volume. private-pod has it without propagation, as is the default of Kubernetes. slave-volume-pod has it with mountPropagation HostToContainer. slave-folder-pod and keep-open-pod have the folder above it, also with HostToContainer. keep-open-pod keeps its file open.',
    )
    for (const each of pods) await seeServed(bench, each, 'before the kill', 0)

    transcript.say('The plugin is killed, and its FUSE daemon is killed with it.')
    const killed = await killPlugin(bench, plugin)
    for (const each of pods) await seeDead(bench, each, 'after the kill', killed)

    transcript.say('The controller starts a new plugin. It mounts the volumes of its mount cache again.')
    const successor = await daemonSet.start(FLAGS)
    await kubelet.register()
    const restored = clock()
    transcript.log(successor.log)
    const log = successor.log.lines.map(({ line }) => line).join('\n')
    for (const { what, path } of placesOnNode(pods)) {
      const seen = log.split('\n').filter((line) => line.includes('successfully remounted') && line.includes(path))
      checks.see(`the plugin says that it remounted ${what}`, seen.join('\n'), /./, 'successfully remounted ...')
    }

    transcript.say('On the node, every path works again.')
    for (const { what, path } of placesOnNode(pods)) {
      const { output } = await shell.onNode(`cat ${path}/dummy-file.txt`)
      checks.see(`${what} works again on the node`, output, 'Hello world!')
    }

    transcript.say(
      'private-pod still has the mount of the dead session. A new mount on the node does not propagate to its mount namespace.',
    )
    await seeDead(bench, isolated, 'after the restore', restored)
    transcript.say(
      'HostToContainer on the volume itself does not help. The pod received the mounts of one mount, and that mount was the dead one, which the plugin has unmounted. The new mount is on the directory beneath, which the pod does not see.',
    )
    await seeDead(bench, slaveVolume, 'after the restore', restored)
    transcript.say('slave-folder-pod sees that directory, so the new mount propagates to it. Its next open finds the new session.')
    await seeServed(bench, slaveFolder, 'after the restore', await firstRight(slaveFolder, restored))
    transcript.say(
      'Only a new open helps. keep-open-pod also sees the new mount by its path, but its open descriptor belongs to the dead session.',
    )
    const { output } = await shell.inPod(keepsOpen, `cat ${keepsOpen.file}`)
    checks.see('keep-open-pod, after the restore: a new open reads', output, 'Hello world!')
    await seeFailingReads(bench, keepsOpen, 'after the restore', restored)
  },
}
