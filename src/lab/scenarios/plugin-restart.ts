import type { Scenario } from '../scenario.ts'
import { killPlugin, mountVolume, placesOnNode, podSpec, READS, seeDead, seeServed } from './steps.ts'

const FLAGS = ['--no-restore-mounts']

/** The first demonstration of the original project: the failure itself, without a mitigation. */
export const pluginRestart: Scenario = {
  name: 'plugin-restart',
  summary: 'the plugin is killed and started again, its mounts are not restored: pods get ENOTCONN for ever',
  run: async (bench) => {
    const { transcript, daemonSet, kubelet, runtime, shell, checks, clock } = bench
    const pod = bench.newPod(podSpec('dummy-fuse-pod', { flags: [...READS, '--keep-open'] }))
    const opensAnew = bench.newPod(podSpec('open-each-time-pod'))
    const pods = [pod, opensAnew]

    const plugin = await mountVolume(bench, FLAGS, pods)
    for (const each of pods) await runtime.start(each)
    transcript.say(
      'Two pods read the volume, each in a mount namespace of its own. The first keeps its file open, the second opens it for each read. So far every read succeeds.',
    )
    for (const each of pods) await seeServed(bench, each, 'before the kill', 0)

    transcript.say('The plugin is killed. The FUSE daemon was its child, in the same container, and is killed with it.')
    const killed = await killPlugin(bench, plugin)
    transcript.say('No process answers the kernel any more. The pods still have the mount, and every access to it fails.')
    for (const each of pods) await seeDead(bench, each, 'after the kill', killed)

    transcript.say('The controller starts a new plugin. It is healthy, and does not restore the mounts.')
    const successor = await daemonSet.start(FLAGS)
    await kubelet.register()
    const restarted = clock()
    transcript.log(successor.log)
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
    for (const each of pods) await seeDead(bench, each, 'after the restart', restarted)
  },
}
