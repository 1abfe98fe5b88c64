import type { Mitigation } from './mitigation.ts'

/** The third mitigation of the original project, for which CSI 1.13 has an interface. */
export const health: Mitigation = {
  id: 'health',
  title: 'Health watched',
  words:
    'The node agent asks the plugin for the health of the volume (NodeGetVolumeHealth). When it is INACCESSIBLE, every pod that uses it is deleted and made again. Nothing else is restored.',
  hosting: 'child',
  pluginFlags: ['--no-restore-mounts'],
  watchesHealth: true,
  trustsDaemons: true,
}
