import type { Failure } from './failure.ts'

/** What is left after a lost power: the plugin's entries, and none of the mounts that they tell of. */
export const machineCrash: Failure = {
  id: 'machine-crash',
  title: 'Machine crashes',
  words:
    'The machine loses its power and boots again. No process and no mount is left, only the files of the plugin. The kubelet stages and publishes every volume again before it starts the pods.',
  strike: async ({ node, timeline }) => {
    timeline.note('node', 'failure', 'the power is lost')
    await node.powerCut()
  },
  mend: async ({ node }) => {
    await node.powerOn()
  },
}
