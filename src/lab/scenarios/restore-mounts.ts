import { demonstrate } from './demonstration.ts'
import { firstRight, placesOnNode, podNamed, podOf, seeDead, seeFailingReads, seeServed } from './steps.ts'

/** The second demonstration of the original project: the plugin restores its mounts, which repairs the node and only some of the pods. */
export const restoreMounts = demonstrate({
  name: 'restore-mounts',
  summary: 'the restarted plugin restores its mounts: the node has them again, pods only by path and where mounts propagate',
  mitigation: 'restore',
  pods: [
    podOf('private-pod'),
    podOf('slave-volume-pod', { place: 'slave' }),
    podOf('slave-folder-pod', { place: 'slave-folder' }),
    podOf('keep-open-pod', { place: 'slave-folder', way: 'keeps-open' }),
  ],
  failure: 'The plugin is killed, and its FUSE daemon is killed with it.',
  repair: 'The controller starts a new plugin. It mounts the volumes of its mount cache again.',
  narrate: (scene) => {
    const { transcript, shell, checks, cell } = scene
    const pods = cell.consumers
    const slaveFolder = podNamed(cell, 'slave-folder-pod')
    const keepsOpen = podNamed(cell, 'keep-open-pod')
    return {
      before: async () => {
        transcript.say(
          'Four pods read the volume. private-pod has it without propagation, as is the default of Kubernetes. slave-volume-pod has it with mountPropagation HostToContainer. slave-folder-pod and keep-open-pod have the folder above it, also with HostToContainer. keep-open-pod keeps its file open.',
        )
        for (const pod of pods) await seeServed(scene, pod, 'before the kill', 0)
      },
      struck: async ({ goneMs }) => {
        for (const pod of pods) await seeDead(scene, pod, 'after the kill', goneMs)
      },
      mended: async ({ registeredMs: restored }) => {
        const log = cell.plugin.log.lines.map(({ line }) => line)
        for (const { what, path } of placesOnNode(pods)) {
          const seen = log.filter((line) => line.includes('successfully remounted') && line.includes(path))
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
        await seeDead(scene, podNamed(cell, 'private-pod'), 'after the restore', restored)
        transcript.say(
          'HostToContainer on the volume itself does not help. The pod received the mounts of one mount, and that mount was the dead one, which the plugin has unmounted. The new mount is on the directory beneath, which the pod does not see. With --restore-mounts=stack the plugin mounts on top of the dead mount instead, and reaches this pod too: lab run --mitigation stack shows it.',
        )
        await seeDead(scene, podNamed(cell, 'slave-volume-pod'), 'after the restore', restored)
        transcript.say(
          'slave-folder-pod sees that directory, so the new mount propagates to it. Its next open finds the new session.',
        )
        await seeServed(scene, slaveFolder, 'after the restore', await firstRight(slaveFolder, restored))
        transcript.say(
          'Only a new open helps. keep-open-pod also sees the new mount by its path, but its open descriptor belongs to the dead session.',
        )
        const { output } = await shell.inPod(keepsOpen.pod, `cat ${keepsOpen.pod.file}`)
        checks.see('keep-open-pod, after the restore: a new open reads', output, 'Hello world!')
        await seeFailingReads(scene, keepsOpen, 'after the restore', restored)
      },
    }
  },
})
