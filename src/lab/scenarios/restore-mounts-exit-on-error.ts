import { VOLUME } from '../kubelet.ts'
import { NodeAgent, eventTable } from '../node-agent.ts'
import { targetPath } from '../node-paths.ts'
import type { Scenario } from '../scenario.ts'
import { firstRight, killPlugin, mountVolume, podSpec, READS, seeServed } from './steps.ts'

const FLAGS = ['--restore-mounts']

/** The third demonstration of the original project: restored mounts, and a consumer that exits so that its container is made again. */
export const restoreMountsExitOnError: Scenario = {
  name: 'restore-mounts-exit-on-error',
  summary: 'the workload exits on its first error; its restart fails while the mount is dead and succeeds once it is restored',
  run: async (bench) => {
    const { transcript, daemonSet, kubelet, runtime, checks, clock } = bench
    const pod = bench.newPod(podSpec('dummy-fuse-pod', { flags: [...READS, '--keep-open', '--exit-on-error'] }))
    const target = targetPath(pod.uid, VOLUME.pv)

    const plugin = await mountVolume(bench, FLAGS, [pod])
    transcript.say(
      "The kubelet starts the pod's container, and starts it again each time it ends. The workload runs with --exit-on-error.",
    )
    await using agent = new NodeAgent(pod, runtime, clock)
    await agent.event('Started')
    await seeServed(bench, pod, 'before the kill', 0)
    const first = pod.container

    transcript.say('The plugin is killed, and its FUSE daemon is killed with it. The workload gets an error and exits.')
    const killed = await killPlugin(bench, plugin)
    const ending = await first?.ended()
    checks.see('the workload exits on the error', `exit status ${ending?.status ?? 'none'}`, 'exit status 1')
    // A read that the daemon's death interrupts gets ECONNABORTED.
    await checks.comeToSee(
      'its last line names the error',
      () => pod.log.tail(1).join(''),
      /error: read \S+: (?:transport endpoint is not connected|software caused connection abort)$/,
      'read error: read /mnt/dummy-file.txt: transport endpoint is not connected',
    )
    transcript.log(pod.log, 5)

    const failed = await agent.event('Failed', killed)
    transcript.say(
      'The kubelet tries to start it again. The container runtime first calls stat(2) on the host path of the volume, gets an error from the dead mount, and does not start the container.',
    )
    transcript.lines(`events of ${pod.name}`, eventTable(agent.events))
    checks.see(
      'the restart fails while the mount is dead',
      failed.message,
      `Error: failed to generate container spec: failed to generate spec: failed to stat "${target}": stat ${target}: transport endpoint is not connected`,
    )
    checks.see('it has not been restarted so far', `restarts: ${agent.restarts}`, 'restarts: 0')

    transcript.say('The controller starts a new plugin, which restores the mounts on the node.')
    const begun = clock()
    const successor = await daemonSet.start(FLAGS)
    await kubelet.register()
    transcript.log(successor.log)
    const log = successor.log.lines.map(({ line }) => line).join('\n')
    checks.see(
      'the plugin says that it remounted the target',
      log,
      new RegExp(`successfully remounted ${target}`),
      `successfully remounted ${target} ...`,
    )

    transcript.say("The kubelet's next attempt finds a live mount and binds it into a new container.")
    const started = await agent.event('Started', killed, 5000).catch(() => undefined)
    const order = started === undefined ? 'never' : started.atMs < begun ? 'before the restore' : 'after the restore'
    checks.see('the restart succeeds', order, 'after the restore')
    if (started === undefined) return
    // An attempt that falls between the plugin's umount and mount of the target binds the bare directory, and another one follows.
    await seeServed(bench, pod, 'after the restart', await firstRight(pod, begun))
    transcript.lines(`events of ${pod.name}`, eventTable(agent.events))
    checks.see('it was restarted', `restarts: ${agent.restarts}`, /^restarts: [1-9]/, 'restarts: 1 or more')
    transcript.say(
      'Restored mounts reach this consumer only because it exits on the error and the kubelet makes its container again.',
    )
  },
}
