import type { Mitigation } from './mitigation.ts'

/** Kubernetes' mountPropagation. */
export const hostToContainer: Mitigation = {
  id: 'host-to-container',
  title: 'Restore, HostToContainer',
  words:
    'Mounts are restored, and consumers run in pods that have the folder above the volume with mountPropagation HostToContainer, so that new mounts reach them.',
  hosting: 'child',
  pluginFlags: ['--restore-mounts'],
  consumer: (kind) => (kind.place === 'slave' ? kind : { ...kind, place: 'slave-folder' }),
  trustsDaemons: true,
}
