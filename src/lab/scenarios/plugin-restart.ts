import { demonstrate } from './demonstration.ts'
import { placesOnNode, podOf, seeDead, seeServed } from './steps.ts'

/** The first demonstration of the original project: the failure itself, without a mitigation. */
export const pluginRestart = demonstrate({
  name: 'plugin-restart',
  summary: 'the plugin is killed and started again, its mounts are not restored: pods get ENOTCONN for ever',
  mitigation: 'none',
  pods: [podOf('dummy-fuse-pod', { way: 'keeps-open' }), podOf('open-each-time-pod')],
  failure: 'The plugin is killed. The FUSE daemon was its child, in the same container, and is killed with it.',
  repair: 'The controller starts a new plugin. It is healthy, and does not restore the mounts.',
  narrate: (scene) => {
    const { transcript, shell, checks, cell } = scene
    const pods = cell.consumers
    return {
      before: async () => {
        transcript.say(
          'Two pods read the volume, each in a mount namespace of its own. The first keeps its file open, the second opens it for each read. So far every read succeeds.',
        )
        for (const pod of pods) await seeServed(scene, pod, 'before the kill', 0)
      },
      struck: async ({ goneMs }) => {
        transcript.say('No process answers the kernel any more. The pods still have the mount, and every access to it fails.')
        for (const pod of pods) await seeDead(scene, pod, 'after the kill', goneMs)
      },
      mended: async ({ registeredMs }) => {
        transcript.say(
          'Nothing is repaired. On the node, the staging path and the targets are dead mounts. In the pods, every read fails.',
        )
        for (const { what, path } of placesOnNode(pods)) {
          const { output } = await shell.onNode(`ls -l ${path}`)
          checks.see(
            `${what} is dead on the node`,
            output,
            /Transport endpoint is not connected/,
            'Transport endpoint is not connected',
          )
        }
        for (const pod of pods) await seeDead(scene, pod, 'after the restart', registeredMs)
      },
    }
  },
})
