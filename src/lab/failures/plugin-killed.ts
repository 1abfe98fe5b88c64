import type { Failure } from './failure.ts'

/** The seed's own failure. */
export const pluginKilled: Failure = {
  id: 'plugin-killed',
  title: 'Plugin killed',
  words:
    'The CSI plugin crashes (SIGKILL). Everything in its container goes with it; a moment later its controller starts it again.',
  strike: async ({ plugin, timeline }) => {
    timeline.note('plugin', 'failure', 'the plugin is killed')
    await plugin.kill()
  },
  mend: async ({ plugin }) => {
    await plugin.start()
  },
}
