import type { Failure } from './failure.ts'

/** The failure of the original project. */
export const pluginKilled: Failure = {
  id: 'plugin-killed',
  title: 'Plugin killed',
  words:
    'The CSI plugin is killed (SIGKILL), and with it every process in its container. A moment later its controller starts it again.',
  strike: async ({ plugin, timeline }) => {
    timeline.note('plugin', 'failure', 'the plugin is killed')
    await plugin.kill()
  },
  mend: async ({ plugin }) => {
    await plugin.start()
  },
}
