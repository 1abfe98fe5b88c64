import type { ConsumerSpec } from './matrix/consumers.ts'
import type { Title } from './matrix/lab-record.ts'

/**
 * Where FUSE sessions are served: `child`, by daemons of the plugin's own container; `detached`, by daemons outside of it, in both cases one for
 * each volume; `child-shared` and `detached-shared`, by one daemon for all volumes; `systemd` and `keep`, by dummy-fused, whose descriptors
 * systemd or the keeper holds; `shield`, by a foreign daemon for each volume, outside of the container and behind a shield.
 */
export type Hosting = 'child' | 'detached' | 'child-shared' | 'detached-shared' | 'systemd' | 'keep' | 'shield'

/** Something that is done against failures. */
export interface Mitigation extends Title {
  readonly id: string
  readonly hosting: Hosting
  /** The plugin's flags beside those of the hosting. */
  readonly pluginFlags: readonly string[]
  /** How a consumer lives under it, if otherwise. */
  readonly consumer?: (kind: ConsumerSpec) => ConsumerSpec
  /** Whether the node agent asks for the volume's health, and restarts its consumers when it cannot be reached. */
  readonly watchesHealth?: true
  /** Whether daemons that return before they have mounted are trusted, as without any care; only a flawed plugin's are otherwise not. */
  readonly trustsDaemons: boolean
}

/** Every mitigation, in the order in which they are shown. A new one needs its lines in matrix/model.ts too, and a new hosting a case in cell/set-up.ts. */
export const MITIGATIONS: readonly Mitigation[] = [
  // The plugin without any mitigation.
  {
    id: 'none',
    title: 'None',
    words:
      "FUSE daemons run in the plugin's container and end with it. Nothing is restored. A daemon that returns with status 0 counts as mounted.",
    hosting: 'child',
    pluginFlags: ['--no-restore-mounts'],
    trustsDaemons: true,
  },
  // The first mitigation of the original project.
  {
    id: 'restore',
    title: 'Restore mounts',
    words:
      'When the plugin starts, it mounts the volumes of its mount cache again, at their staging paths and targets, in place of the dead mounts.',
    hosting: 'child',
    pluginFlags: ['--restore-mounts=replace'],
    trustsDaemons: true,
  },
  // The same, with mount propagation (mount_namespaces(7)).
  {
    id: 'stack',
    title: 'Restore by stacking',
    words:
      'Mounts are restored. The new session is mounted on top of the dead mount of each target, which stays. So it propagates to the pods that have the volume itself with mountPropagation HostToContainer.',
    hosting: 'child',
    pluginFlags: ['--restore-mounts=stack'],
    trustsDaemons: true,
  },
  // The third demonstration of the original project.
  {
    id: 'restore-exit',
    title: 'Restore, consumers exit',
    words: 'Mounts are restored, and every consumer ends at its first error and is started again.',
    hosting: 'child',
    pluginFlags: ['--restore-mounts=replace'],
    consumer: (kind) => ({ ...kind, exitsOnError: true }),
    trustsDaemons: true,
  },
  // Kubernetes' mountPropagation.
  {
    id: 'host-to-container',
    title: 'Restore, HostToContainer',
    words:
      'Mounts are restored, and consumers run in pods that have the folder above the volume with mountPropagation HostToContainer, so that new mounts reach them.',
    hosting: 'child',
    pluginFlags: ['--restore-mounts=replace'],
    consumer: (kind) => (kind.place === 'slave' ? kind : { ...kind, place: 'slave-folder' }),
    trustsDaemons: true,
  },
  // The third mitigation of the original project, for which CSI 1.13 has an interface.
  {
    id: 'health',
    title: 'Health watched',
    words:
      'The node agent asks the plugin for the health of the volume (NodeGetVolumeHealth). When it is INACCESSIBLE, every pod that uses it is deleted and made again. Nothing else is restored.',
    hosting: 'child',
    pluginFlags: ['--no-restore-mounts'],
    watchesHealth: true,
    trustsDaemons: true,
  },
  // The second mitigation of the original project.
  {
    id: 'separate',
    title: 'Separate FUSE process',
    words: "FUSE daemons run outside the plugin's container and survive it. Mounts are restored.",
    hosting: 'detached',
    pluginFlags: ['--restore-mounts=replace'],
    trustsDaemons: true,
  },
  // One daemon for all volumes, with the plugin's lifetime.
  {
    id: 'shared',
    title: 'Restore, one daemon',
    words:
      "One daemon in the plugin's container serves all volumes, which needs less memory. Mounts are restored. A crash of the daemon reaches every volume.",
    hosting: 'child-shared',
    pluginFlags: ['--restore-mounts=replace'],
    trustsDaemons: false,
  },
  // One daemon for all volumes, which outlives the plugin.
  {
    id: 'separate-shared',
    title: 'Separate, one daemon',
    words:
      "One daemon outside the plugin's container serves all volumes and survives the plugin. Mounts are restored. A crash of the daemon reaches every volume.",
    hosting: 'detached-shared',
    pluginFlags: ['--restore-mounts=replace'],
    trustsDaemons: false,
  },
  // The fix of blobfuse2 #1079 and #1081.
  {
    id: 'waiting-parent',
    title: 'Waiting parent',
    words: 'The process that starts a daemon waits until its mount answers or the daemon ends, and passes on its error.',
    hosting: 'child',
    pluginFlags: ['--no-restore-mounts'],
    trustsDaemons: false,
  },
  // fsmount(2) and move_mount(2), Linux 5.2; FUSE_DEV_IOC_SYNC_INIT (Linux 6.18) has the same effect on mount(2).
  {
    id: 'sync-init',
    title: 'Sync INIT',
    words:
      "The kernel's own solution instead of a waiting parent (Linux 5.2): the mount comes to its path only after INIT is answered.",
    hosting: 'child',
    pluginFlags: ['--no-restore-mounts', '--fuse-backend', 'session'],
    trustsDaemons: false,
  },
  // The session that outlives its daemon, kept by systemd.
  {
    id: 'service',
    title: 'Session kept by systemd',
    words:
      'One daemon serves all volumes, and systemd holds its FUSE descriptors. When the daemon crashes or is upgraded, its successor serves the same sessions.',
    hosting: 'systemd',
    pluginFlags: ['--restore-mounts=replace'],
    trustsDaemons: false,
  },
  // The session that outlives its daemon, kept by our own keeper.
  {
    id: 'keep',
    title: 'Session kept by keep',
    words: 'The same without systemd: dummy-fuse-csi keep holds the descriptors and starts the daemon again.',
    hosting: 'keep',
    pluginFlags: ['--restore-mounts=replace'],
    trustsDaemons: false,
  },
  // The session that outlives a daemon which knows nothing of that.
  {
    id: 'shield',
    title: 'Any daemon, shielded',
    words:
      "Each volume is served by a FUSE program that was not changed for it, here dummy-fuse, behind dummy-fuse-csi shield and outside the plugin's container. The shield has the session. When the program crashes or is upgraded, the next one serves the same session. Mounts are restored.",
    hosting: 'shield',
    pluginFlags: ['--restore-mounts=replace'],
    trustsDaemons: false,
  },
]

/** A mitigation of {@link MITIGATIONS}. Throws for an id that none has. */
export function mitigationOf(id: string): Mitigation {
  const found = MITIGATIONS.find((one) => one.id === id)
  if (found === undefined) throw new Error(`no mitigation '${id}'`)
  return found
}
