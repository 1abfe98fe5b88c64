/** A reason of the model, and its source. */
export interface Claim {
  readonly reason: string
  readonly source: string
}

/** The reasons of the model, by name. */
export const CLAIMS = {
  dead: {
    reason:
      'The session ended with the last process that held its descriptor. Every descriptor, map and path of it gives ENOTCONN, and nothing was mounted again.',
    source: 'original project, first demonstration; fs/fuse/dev.c fuse_dev_release',
  },
  held: {
    reason: 'The descriptor, memory map and working directory belong to the session that ended. The new mount is another session.',
    source: 'original project, second demonstration; open(2)',
  },
  gap: {
    reason:
      'Each open looks up the path again, and the plugin has mounted there again. Between the unmount of the dead mount and the new mount, the bare folder is visible.',
    source: 'original project, second demonstration; path_resolution(7)',
  },
  privateCopy: {
    reason: 'A private mount namespace keeps the mounts that it was made with. A new mount on the node does not propagate to it.',
    source: 'original project, second demonstration; mount_namespaces(7)',
  },
  slaveOfDead: {
    reason:
      'A slave receives the mounts that are made below its master. Its master was the dead mount itself, and the new mount is on the folder beneath, which it does not see.',
    source: 'mount_namespaces(7), propagation types',
  },
  stacked: {
    reason:
      'The plugin mounts the new session on top of the dead mount, which stays. A slave receives what is mounted on its master, so the pod has the new mount on top of its own copy of the dead one. The next open finds it, and the bare folder is visible at no moment.',
    source: 'mount_namespaces(7), propagation types; docs/restoring.md',
  },
  slaveOfFolder: {
    reason:
      'The folder above is a slave of the node’s, so the new mount propagates to it, and each open finds it by its path. Between the unmount and the mount, the bare folder is visible.',
    source: 'mount_namespaces(7), propagation types; kubernetes mountPropagation',
  },
  restarted: {
    reason: 'It ends at its first error. The next process is started when the volume is mounted again, and finds the new session.',
    source: 'original project, third demonstration',
  },
  refused: {
    reason:
      'The container runtime calls stat(2) on the host path before it makes a container. It gets ENOTCONN until the volume is mounted again.',
    source: 'original project, third demonstration; containerd',
  },
  again: {
    reason: 'It is started again and again, and finds the dead mount each time.',
    source: 'original project, third demonstration',
  },
  noPlugin: {
    reason:
      "The kubelet's calls get UNAVAILABLE while no plugin runs, and the kubelet repeats them. The next plugin then mounts the volume again if necessary.",
    source: 'kubernetes pkg/volume/csi; docs/architecture.md',
  },
  mends: {
    reason: 'The plugin checks the staging path before it publishes, and mounts the volume again if no mount there answers.',
    source: 'docs/architecture.md, "How a CSI call is handled"',
  },
  survives: {
    reason: 'The process that serves the session is not in the plugin’s container, and keeps running.',
    source: 'original project, "separate FUSE process"',
  },
  noticed: {
    reason:
      'The plugin reports the volume INACCESSIBLE. The pod is deleted and made again, and the volume is mounted again for it.',
    source: 'CSI 1.13, NodeGetVolumeHealth; original project, "restart consumers of unhealthy volumes"',
  },
  noticedLate: {
    reason:
      'It sees the bare folder until the node agent asks for the volume’s health. Then the volume is INACCESSIBLE, and its pod is made again.',
    source: 'CSI 1.13, NodeGetVolumeHealth',
  },
  queued: {
    reason: 'The kernel queues requests while no process reads them, and they are answered when the daemon is resumed.',
    source: 'fs/fuse/dev.c, fuse_dev_do_read',
  },
  replaced: {
    reason:
      'To publish the volume for the new pod, the plugin kills the daemon that does not answer and mounts the volume again. The session of all other consumers ends.',
    source: 'docs/architecture.md: HUNG',
  },
  spared: {
    reason:
      'The daemon serves other volumes too, so the plugin does not kill it for the new pod and unmounts nothing. That pod and all readers wait until the daemon is resumed.',
    source: 'docs/hosts.md',
  },
  emptied: {
    reason:
      'The mount command has returned without an error. The pods get the bare folder, also later, because the volume counts as staged.',
    source: 'blobfuse2 #1081',
  },
  waited: {
    reason: 'Stage fails as long as the mount fails, with the daemon’s message. No pod starts on a bare folder.',
    source: 'blobfuse2 #1081, the fix',
  },
  waitedFor: {
    reason:
      'Stage returns when the mount answers. The bind is made after that, and is not in the peer group of the staging path’s folder.',
    source: 'blobfuse2 #1079, the fix',
  },
  late: {
    reason:
      'The target was bound before the mount, so it is in the peer group of the staging path. The mount propagates to both, and unpublishing one pod unmounts it from all.',
    source: 'blobfuse2 #1079; mount_namespaces(7)',
  },
  lateHeld: {
    reason:
      'It opened its file while the mount was there. The descriptor keeps the session’s file after it was unmounted everywhere.',
    source: 'umount(2), MNT_DETACH',
  },
  bind: {
    reason:
      'A target is a bind of the same session, and a bind is a mount of its own: unmounting the staging path does not affect it.',
    source: 'mount(2), MS_BIND',
  },
  detached: {
    reason: 'A lazy unmount removes the mount from the path. A process that holds a file or a folder of it can go on reading.',
    source: 'umount(2), MNT_DETACH',
  },
  unmounted: {
    reason: 'The path leads to the bare folder on the node’s own disk, and the volume is not mounted there again.',
    source: 'umount(2), MNT_DETACH',
  },
  ownCopy: {
    reason: 'The pod has a mount of its own of the same session. An unmount on the node does not affect it.',
    source: 'mount_namespaces(7)',
  },
  rebooted: {
    reason: 'No process outlives the machine. The kubelet stages and publishes every volume again before it starts the pods again.',
    source: 'kubernetes pkg/kubelet/volumemanager, reconstruction',
  },
  ownDaemon: {
    reason: 'Each volume has a daemon of its own, and the daemon of the neighbour keeps running.',
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
    reason: 'The daemon needs no further descriptor to answer the kernel.',
    source: 'fs/fuse/dev.c',
  },
  emfile: {
    reason: 'The plugin cannot accept the kubelet’s connection, and the kubelet tries again until it can.',
    source: 'accept(2), EMFILE',
  },
  kept: {
    reason:
      'Another process holds the descriptor, so the connection lives. The successor serves it and asks for the unanswered requests again (FUSE_NOTIFY_RESEND). Reads wait for the start of a process, which takes longer on a busy machine.',
    source: 'Linux 6.9, include/uapi/linux/fuse.h; sd_pid_notify_with_fds(3)',
  },
  shielded: {
    reason:
      'The shield has the connection. It starts the next daemon at once, and gives it the requests without an answer again. Reads wait for the start of a process, which takes longer on a busy machine.',
    source: 'docs/shield.md',
  },
  heldBack: {
    reason:
      'The shield starts the new daemon beside the old one. It holds requests only until the old one has answered its own and has ended.',
    source: 'docs/shield.md, "Upgrades"',
  },
  succeeded: {
    reason:
      'The keeper of the shield holds the connection. The successor serves it, starts the daemon anew, and asks the kernel for the unanswered requests again.',
    source: 'docs/shield.md, "When the shield is killed"',
  },
  keptNoMore: {
    reason:
      'Only the keeper of the shield can pass the connection on. When it is killed, the shield ends and unmounts, and every descriptor, map and path of the session gives ENOTCONN.',
    source: 'docs/shield.md, "When the shield is killed"',
  },
  notAsked: {
    reason:
      'The process that the plugin has started is the keeper of the shield, which runs. So the plugin takes the session for alive, publishes it for the new pod and unmounts nothing. That pod and all readers wait until the daemon is resumed.',
    source: 'docs/programs.md; docs/shield.md',
  },
  queuedByShield: {
    reason: 'The daemon is there, and so the shield starts no other. The requests are answered when the daemon is resumed.',
    source: 'docs/shield.md',
  },
} as const satisfies Record<string, Claim>

export type ClaimName = keyof typeof CLAIMS
