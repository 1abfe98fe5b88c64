/** Something that is known, and where from. */
export interface Claim {
  readonly reason: string
  readonly source: string
}

/** What the model stands on, by name. */
export const CLAIMS = {
  dead: {
    reason:
      'The session ended with the last process that held its descriptor; every descriptor, map and path of it gives ENOTCONN, and nothing was mounted again.',
    source: 'seed, first demonstration; fs/fuse/dev.c fuse_dev_release',
  },
  held: {
    reason: 'Descriptor, memory map and working directory belong to the session that died; what is mounted again is another one.',
    source: 'seed, second demonstration; open(2)',
  },
  gap: {
    reason:
      'Each open looks the path up anew, and the plugin has mounted there again. Between the unmount of the dead and the mount of the new the bare folder can be seen.',
    source: 'seed, second demonstration; path_resolution(7)',
  },
  privateCopy: {
    reason: 'A private mount namespace keeps the mounts that it was made with: what the node mounts again never gets there.',
    source: 'seed, second demonstration; mount_namespaces(7)',
  },
  slaveOfDead: {
    reason:
      'A slave receives what is mounted below its master; its master was the dead mount itself, and the new one stands on the folder beneath, which it does not see.',
    source: 'mount_namespaces(7), propagation types',
  },
  slaveOfFolder: {
    reason:
      'The folder above is a slave of the node’s, so that the new mount reaches it; each open finds it by its path. Between the unmount and the mount the bare folder can be seen.',
    source: 'mount_namespaces(7), propagation types; kubernetes mountPropagation',
  },
  restarted: {
    reason: 'It ends at its first error; its successor is made when the volume is mounted again, and finds the new session.',
    source: 'seed, third demonstration',
  },
  refused: {
    reason:
      'The container runtime looks at the host path before it makes a container, gets ENOTCONN, and refuses as long as nobody mounts it again.',
    source: 'seed, third demonstration; containerd',
  },
  again: {
    reason: 'It is started again and again, and finds the dead mount each time.',
    source: 'seed, third demonstration',
  },
  noPlugin: {
    reason:
      "The kubelet's calls get UNAVAILABLE while the plugin is away, and are made again until it answers; it then mounts the volume anew if it has to.",
    source: 'kubernetes pkg/volume/csi; docs/architecture.md',
  },
  mends: {
    reason:
      'The plugin looks at the staging path before it publishes, and mounts the volume anew if nothing that answers stands there.',
    source: 'docs/architecture.md, "How a CSI call is handled"',
  },
  survives: {
    reason: 'The process that serves the session is not in the plugin’s container, and never noticed.',
    source: 'seed, "separate FUSE process"',
  },
  noticed: {
    reason: 'The plugin reports the volume INACCESSIBLE; the pod is deleted and made anew on a volume that is mounted anew.',
    source: 'CSI 1.13, NodeGetVolumeHealth; seed, "restart consumers of unhealthy volumes"',
  },
  noticedLate: {
    reason:
      'As long as nobody has asked for its health it sees the bare folder; then the volume is INACCESSIBLE, and its pod is made anew.',
    source: 'CSI 1.13, NodeGetVolumeHealth',
  },
  queued: {
    reason: 'The kernel queues requests while nobody reads them, and they are answered when the daemon goes on.',
    source: 'fs/fuse/dev.c, fuse_dev_do_read',
  },
  replaced: {
    reason:
      'To publish for the pod that comes, the plugin has a daemon that does not answer killed and mounts the volume anew: the session of all others dies.',
    source: 'docs/architecture.md: HUNG',
  },
  spared: {
    reason:
      'The daemon serves other volumes too, so the plugin does not have it end for the pod that comes, and detaches nothing: that pod and all readers wait until the daemon goes on.',
    source: 'docs/hosts.md',
  },
  emptied: {
    reason:
      'The command that was to mount has returned without a word of its failure: the pods are given the bare folder, also later, for the volume counts as staged.',
    source: 'blobfuse2 #1081',
  },
  waited: {
    reason: 'Stage fails as long as the mount does, with what the daemon said; no pod starts on a bare folder.',
    source: 'blobfuse2 #1081, the cure',
  },
  waitedFor: {
    reason: 'Stage returns when the mount answers; the bind is made after it, and is no peer of the staging path’s folder.',
    source: 'blobfuse2 #1079, the cure',
  },
  late: {
    reason:
      'Bound before the mount, the target is a peer of the staging path: the mount reaches both, and unpublishing one pod takes it from all.',
    source: 'blobfuse2 #1079; mount_namespaces(7)',
  },
  lateHeld: {
    reason: 'It caught the mount while it was there, and a descriptor keeps the session’s file though it was unmounted everywhere.',
    source: 'umount(2), MNT_DETACH',
  },
  bind: {
    reason:
      'A target is a bind of the same session, and a bind lives by itself: unmounting the staging path takes nothing from it.',
    source: 'mount(2), MS_BIND',
  },
  detached: {
    reason: 'A lazy unmount takes the mount out of the path; who holds a file or a folder of it goes on.',
    source: 'umount(2), MNT_DETACH',
  },
  unmounted: {
    reason: 'The path leads to the bare folder on the node’s own disk, and nobody mounts the volume there again.',
    source: 'umount(2), MNT_DETACH',
  },
  ownCopy: {
    reason: 'The pod has a mount of its own of the same session, which an unmount of the node’s does not take.',
    source: 'mount_namespaces(7)',
  },
  rebooted: {
    reason: 'No process outlives the machine; the kubelet asks for every volume anew before it starts the pods again.',
    source: 'kubernetes pkg/kubelet/volumemanager, reconstruction',
  },
  ownDaemon: {
    reason: 'Each volume has a daemon of its own, and that of the neighbour goes on.',
    source: 'docs/architecture.md, "dummy-fuse"',
  },
  sharedDaemon: {
    reason: 'One daemon serves every volume of the plugin, and each session ends with it.',
    source: 'docs/hosts.md; fs/fuse/dev.c, fuse_dev_release',
  },
  ownSession: {
    reason: 'The neighbour is another session: its connection and its mounts are its own.',
    source: 'fs/fuse/inode.c, fuse_get_tree; mount(2)',
  },
  noDescriptorNeeded: {
    reason: 'Answering the kernel takes no further descriptor.',
    source: 'fs/fuse/dev.c',
  },
  emfile: {
    reason: 'The plugin cannot take the kubelet’s connection, and is asked again until it can.',
    source: 'accept(2), EMFILE',
  },
  kept: {
    reason:
      'Somebody else holds the descriptor, so the connection lives; the successor goes on with it and has the open requests sent again (FUSE_NOTIFY_RESEND). Reads wait for as long as a process takes to start, which a busy machine may draw out.',
    source: 'Linux 6.9, include/uapi/linux/fuse.h; sd_pid_notify_with_fds(3)',
  },
} as const satisfies Record<string, Claim>

export type ClaimName = keyof typeof CLAIMS
