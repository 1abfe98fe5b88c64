import type { Failure } from './failure.ts'

/** What an administrator does to a service. */
export const pluginRestarted: Failure = {
  id: 'plugin-restarted',
  title: 'Plugin restarted',
  words: 'The plugin is a service of systemd, and is restarted (systemctl restart): SIGTERM, then a new process.',
  needsSystemd: true,
  strike: async ({ plugin, timeline }) => {
    timeline.note('plugin', 'failure', 'systemctl restart')
    await plugin.stop()
  },
  mend: async ({ plugin }) => {
    await plugin.start()
  },
}
