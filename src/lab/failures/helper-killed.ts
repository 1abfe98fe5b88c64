import type { HelperControl } from '../cell/harness.ts'
import { messageOf } from '../../errors.ts'
import { runningOf } from '../cell/helpers.ts'
import type { Failure } from './failure.ts'

/** What a node does about a helper that has crashed. */
const AFTERWARDS: Readonly<Record<HelperControl['belongs'], string>> = {
  container: "which is started again with the plugin's container, and not before",
  node: 'which is started again when the machine starts, and not before',
  service: 'a service, which is started again at once',
}

/** The crash of a program that runs beside the plugin. */
export const helperKilled: Failure = {
  id: 'helper-killed',
  title: 'Helpers killed',
  words:
    "Every helper is killed (SIGKILL): the shield in front of the daemon, or each program of the driver's file that runs beside the plugin and is not the storage, with all processes that it has started. A service is started again at once. The others stay away, because nothing but the container or the machine starts them.",
  strike: async ({ helpers = [], timeline }) => {
    if (helpers.length === 0) throw new Error('the lab runs no helper of this volume')
    const struck = helpers.map((helper) => ({ helper, pids: runningOf(helper) }))
    for (const { helper, pids } of struck) {
      const { name, belongs } = helper
      timeline.note('node', 'failure', `SIGKILL to the helper ${name}, process ${pids.join(', ')}, ${AFTERWARDS[belongs]}`)
      await helper.crash()
    }
  },
  mend: async ({ helpers = [], timeline }) => {
    for (const helper of helpers)
      await helper.restarted().catch((error: unknown) => {
        timeline.note('node', 'log', messageOf(error))
      })
  },
}
