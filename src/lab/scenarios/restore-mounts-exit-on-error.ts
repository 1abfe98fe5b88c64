import { until } from '../wait.ts'
import { demonstrate } from './demonstration.ts'
import { eventTable, findEvent } from './pod-events.ts'
import { firstRight, podNamed, podOf, seeServed } from './steps.ts'

/** The third demonstration of the original project: restored mounts, and a consumer that exits so that its container is made again. */
export const restoreMountsExitOnError = demonstrate({
  name: 'restore-mounts-exit-on-error',
  summary: 'the workload exits on its first error; its restart fails while the mount is dead and succeeds once it is restored',
  mitigation: 'restore-exit',
  pods: [podOf('dummy-fuse-pod', { way: 'keeps-open' })],
  failure: 'The plugin is killed, and its FUSE daemon is killed with it. The workload gets an error and exits.',
  repair: 'The controller starts a new plugin, which restores the mounts on the node.',
  narrate: (scene) => {
    const { transcript, checks, cell } = scene
    const consumer = podNamed(cell, 'dummy-fuse-pod')
    const { pod, target } = consumer
    const events = (): ReturnType<typeof cell.timeline.eventsOf> => cell.timeline.eventsOf(pod.name)
    let first = pod.container
    return {
      before: async () => {
        transcript.say(
          "The kubelet starts the pod's container, and starts it again each time it ends. The workload runs with --exit-on-error.",
        )
        await seeServed(scene, consumer, 'before the kill', 0)
        first = pod.container
      },
      struck: async ({ killMs }) => {
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

        const failed = await until('the restart fails', () => findEvent(events(), 'Failed', killMs))
        transcript.say(
          'The kubelet tries to start it again. The container runtime first calls stat(2) on the host path of the volume, gets an error from the dead mount, and does not start the container.',
        )
        transcript.lines(`events of ${pod.name}`, eventTable(events()))
        checks.see(
          'the restart fails while the mount is dead',
          failed.text,
          `Error: failed to generate container spec: failed to generate spec: failed to stat "${target}": stat ${target}: transport endpoint is not connected`,
        )
        checks.see('it has not been restarted so far', `restarts: ${consumer.restarts}`, 'restarts: 0')
      },
      mended: async ({ goneMs, restartMs }) => {
        const log = cell.plugin.log.lines.map(({ line }) => line).join('\n')
        checks.see(
          'the plugin says that it remounted the target',
          log,
          new RegExp(`successfully remounted ${target}`),
          `successfully remounted ${target} ...`,
        )

        transcript.say("The kubelet's next attempt finds a live mount and binds it into a new container.")
        const restarted = (): ReturnType<typeof findEvent> => findEvent(events(), 'Started', goneMs)
        const started = await until('the restart succeeds', restarted, 5000).catch(() => undefined)
        const order = started === undefined ? 'never' : started.atMs < restartMs ? 'before the restore' : 'after the restore'
        checks.see('the restart succeeds', order, 'after the restore')
        if (started === undefined) return
        // An attempt that falls between the plugin's umount and mount of the target binds the bare directory, and another one follows.
        await seeServed(scene, consumer, 'after the restart', await firstRight(consumer, restartMs))
        transcript.lines(`events of ${pod.name}`, eventTable(events()))
        checks.see('it was restarted', `restarts: ${consumer.restarts}`, /^restarts: [1-9]/, 'restarts: 1 or more')
        transcript.say(
          'Restored mounts reach this consumer only because it exits on the error and the kubelet makes its container again.',
        )
      },
    }
  },
})
