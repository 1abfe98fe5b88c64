import { takeCourse } from '../cell/course.ts'
import { pluginKilled } from '../failures/plugin-killed.ts'
import { VOLUME } from '../kubelet.ts'
import type { ConsumerSpec } from '../matrix/consumers.ts'
import { mitigationOf } from '../mitigations.ts'
import type { Narrator, Scenario, ScenarioCell } from '../scenario.ts'
import type { ProcessLog } from '../process-log.ts'
import { until } from '../wait.ts'
import { killPlugin } from './steps.ts'

/** A demonstration of the original project: a cell with the failure plugin-killed, and a narrator who shows each stage of it. */
interface Demonstration {
  readonly name: string
  /** As {@link Scenario.summary}. */
  readonly summary: string
  /** The id of the cell's mitigation. */
  readonly mitigation: string
  /** The pods, as they are without the mitigation. */
  readonly pods: readonly ConsumerSpec[]
  /** Said before the plugin is killed. */
  readonly failure: string
  /** Said before the plugin is started again. */
  readonly repair: string
  readonly narrate: (scene: Scene) => Narration
}

/** What the narrator shows. */
interface Scene extends Narrator {
  readonly cell: ScenarioCell
}

/** What the narrator shows at each stage. */
interface Narration {
  /** The volume is mounted, and every pod reads right. */
  readonly before: () => Promise<void>
  /** The plugin and its FUSE daemon are gone. */
  readonly struck: (times: Pick<Times, 'killMs' | 'goneMs'>) => Promise<void>
  /** The plugin runs again and is registered. */
  readonly mended: (times: Times) => Promise<void>
}

/** Moments on the scenario's clock, in milliseconds. */
interface Times {
  /** The plugin is about to be killed. */
  readonly killMs: number
  /** The plugin and its FUSE daemon are gone. */
  readonly goneMs: number
  /** The next plugin is about to be started. */
  readonly restartMs: number
  /** It is registered, and has restored its mounts where it does. */
  readonly registeredMs: number
}

/** The scenario that carries a demonstration out. */
export function demonstrate({ name, summary, mitigation: id, pods, failure, repair, narrate }: Demonstration): Scenario {
  return {
    name,
    summary,
    run: async (node) => {
      const mitigation = mitigationOf(id)
      const cell = node.setUp({ failure: pluginKilled, mitigation, consumers: pods, volume: VOLUME })
      const { transcript } = node
      const { plugin, kubelet, clock } = cell
      const narration = narrate({ ...node, cell })
      const times = { killMs: 0, goneMs: 0, restartMs: 0, registeredMs: 0 }
      transcript.say(
        `The DaemonSet's controller starts the plugin (serve ${mitigation.pluginFlags.join(' ')}); the kubelet finds its socket, stages the volume and publishes it for each pod.`,
      )
      const shown = {
        ...pluginKilled,
        strike: async (): Promise<void> => {
          transcript.say(failure)
          times.killMs = clock()
          await killPlugin(node, plugin)
          times.goneMs = clock()
        },
        mend: async (): Promise<void> => {
          transcript.say(repair)
          times.restartMs = clock()
          await pluginKilled.mend(cell)
          await kubelet.register()
          await until('the plugin has restored its mounts', () => hasRestored(plugin.log))
          times.registeredMs = clock()
          transcript.log(plugin.log)
        },
      }
      await takeCourse(cell, shown, {
        before: async () => {
          transcript.log(plugin.log)
          await narration.before()
        },
        struck: () => narration.struck(times),
        mended: () => narration.mended(times),
      })
    },
  }
}

/** Whether a plugin restores no more. It serves before, where restoring takes longer than a second, and says so before it listens. */
function hasRestored({ lines }: ProcessLog): boolean {
  const says = (text: string): boolean => lines.some(({ line }) => line.includes(text))
  if (!says('Listening for connections')) return false
  return !says('volumes are still being re-mounted') || says('All volumes have been re-mounted')
}
