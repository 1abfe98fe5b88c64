import type { Failure } from './failure.ts'

/** A rolling update of the DaemonSet. */
export const pluginUpgraded: Failure = {
  id: 'plugin-upgraded',
  title: 'Plugin upgraded',
  words: 'The plugin is stopped (SIGTERM), and another version of its executable is started in its place, as at an update.',
  strike: async ({ plugin, timeline }) => {
    timeline.note('plugin', 'failure', 'another executable takes the place of the plugin')
    plugin.replaceExecutable()
    await plugin.stop()
  },
  mend: async ({ plugin }) => {
    await plugin.start()
  },
}
