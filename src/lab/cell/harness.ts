import type { Clock } from '../clock.ts'
import type { ConsumerSpec } from '../matrix/consumers.ts'
import type { ReadLog } from './read-log.ts'
import type { Timeline } from './timeline.ts'

/** What a failure can do to the CSI plugin. */
export interface PluginControl {
  /** Starts it, and waits until its socket can be connected to. `flaw`: further flags, this time. */
  start(flaw?: readonly string[]): Promise<void>
  /** SIGKILL, as the out-of-memory killer sends; resolves when it and what lives in its container are gone. */
  kill(): Promise<void>
  /** SIGTERM, as the end of a pod sends; resolves when it and what lives in its container are gone. */
  stop(): Promise<void>
  /** As its supervisor does it: `stop`, then `start`. */
  restart(): Promise<void>
  /** Puts another file in the place of its executable: the next start is of that one. */
  replaceExecutable(): void
  /** Its process, as the node numbers it; none between two. */
  pids(): Promise<readonly number[]>
}

/** What a failure can do to the daemons that serve the session of its volume. */
export interface DaemonControl {
  /**
   * Finds out which processes answer, by stopping others and them for a moment; the methods below act on those. Not there where that is known without. Rejects
   * with an Error if none is found.
   */
  find?(): Promise<void>
  /** Processes that answer the kernel. */
  pids(): Promise<readonly number[]>
  /** Starts what has to run before the plugin, as a boot does. */
  start(): Promise<void>
  /** SIGKILL; resolves when these processes have ended, even if others have replaced them. */
  kill(): Promise<void>
  /** Replaces them by another executable, in the best way that this hosting has. */
  upgrade(): Promise<void>
  /** SIGSTOP; resolves when they have stopped. */
  hang(): Promise<void>
  /** SIGCONT. */
  resume(): Promise<void>
}

/** What a failure can do to the storage of the volume. */
export interface StorageControl {
  /** Its processes. Rejects with an Error if one of its helpers has none. */
  pids(): Promise<readonly number[]>
  /** SIGSTOP; resolves when they have stopped. */
  hang(): Promise<void>
  /** SIGCONT. */
  resume(): Promise<void>
  /** SIGKILL; resolves when they have ended. They are not started again until `start`. */
  kill(): Promise<void>
  /** Starts it again; resolves when it is ready. */
  start(): Promise<void>
}

/** What a failure can do to the processes that hold a descriptor of the volume's connection and do not answer the kernel. */
export interface HolderControl {
  /** Finds out which they are, as `find` of the daemons does. Rejects with an Error if there is none. */
  find(): Promise<void>
  /** Those that were found. */
  pids(): readonly number[]
  /** SIGKILL; resolves when they have ended. */
  kill(): Promise<void>
}

/** What a failure can do to one of the helpers of a driver's file, or to a shield. */
export interface HelperControl {
  readonly name: string
  /** What it belongs to, as the file says. What starts a shield again makes that a service. */
  readonly belongs: 'container' | 'node' | 'service'
  /** Its processes; none while it does not run. */
  pids(): readonly number[]
  /** SIGKILL, as if it had crashed; resolves when they have ended. A service is started again afterwards. */
  crash(): Promise<void>
  /** Resolves when a service that has crashed is ready again, and at once otherwise. Rejects with an Error if it is not ready in time. */
  restarted(): Promise<void>
}

/** What can be done to the pods of the volume that is struck. */
export interface PodControl {
  /** Deletes one pod, as the kubelet does, and makes it anew; resolves when the new pod is asked for. */
  replaceOne(): Promise<void>
  /** The same for every pod that was asked for: all are deleted before the first new one. */
  replaceAll(): Promise<void>
}

/** What a failure can do to the node. */
export interface NodeControl {
  /** umount -l of paths of the node, by hand. */
  unmount(paths: readonly string[]): Promise<void>
  /** Aborts the FUSE connections of the volume that is struck, through the kernel's control file system. Returns their numbers. */
  abortConnections(): Promise<readonly number[]>
  /** Lets the plugin and the daemons open no further file: RLIMIT_NOFILE as low as what they have open. */
  limitDescriptors(): Promise<void>
  /** Takes that back. */
  liftDescriptorLimit(): Promise<void>
  /** A power cut: every process and mount goes, files stay, and the boot id changes. */
  powerCut(): Promise<void>
  /** The machine boots: the daemons, the plugin and the pods that ran before are started. */
  powerOn(): Promise<void>
}

/** A consumer as a failure and the course of a cell see it. */
export interface Consumer {
  /** As it lives under the mitigation. */
  readonly kind: ConsumerSpec
  readonly reads: ReadLog
  /** Where its volume is published on the node. */
  readonly target: string
  /** The id of its process, if one runs and the node numbers it; 0 if it runs and its number is not known. */
  readonly pid: number | undefined
  /** When its process was started, if one runs. */
  readonly runningSince: number | undefined
  readonly started: boolean
  /** When its first process was started. */
  readonly startedAt: number | undefined
  /** When it was asked for. */
  readonly wantedAt: number | undefined
  /** Whether an attempt to bring it up for the first time failed. */
  readonly failedToStart: boolean
  readonly restarts: number
  /** Whether an attempt to bring it up that began at that time or later has failed. */
  failedSince(sinceMs: number): boolean
  /** Asks for it: it is started, and started again whenever it ends. */
  want(): void
  /** The lines of its own mountinfo that concern the volume; none if it does not run. */
  mountTable(): Promise<readonly string[]>
}

/** A pod that is given the volume and goes away again. Nobody reads in it. */
export interface PassingPod {
  /** Resolves when its volume is published. */
  arrive(): Promise<void>
  /** Resolves when its volume is unpublished. */
  depart(): Promise<void>
  /** A sentence on what is mounted for it all the same; undefined if nothing is. */
  left(): Promise<string | undefined>
}

/** What a node can show of itself. */
export interface NodeEvidence {
  /** The lines of its mountinfo that concern its volumes. */
  mounts(): Promise<readonly string[]>
  /** Which process holds which FUSE descriptor: `dummy-fuse[231] fd 5: connection 74`. */
  holders(): Promise<readonly string[]>
  /** The files on its own disk below the mount points. */
  disk(): Promise<readonly string[]>
}

/** How long the steps of a cell may take on a node, in milliseconds. */
export interface Patience {
  /** For a consumer to read right for the first time. */
  readonly start: number
  /** From the failure to the repair, unless every consumer has met the failure earlier. */
  readonly outage: number
  /** For which a consumer that reads wrong is watched, from the repair or from its own start, if the model says that it does, or if there is none. */
  readonly watch: number
  /** From then on, that a consumer has to come out as the model says. */
  readonly settle: number
  /** How long a pod that is asked for while a daemon hangs takes to come to the plugin. */
  readonly arrival: number
  /** Seconds from the return of a daemon to its mount, where that is late: enough for every pod to have the empty folder by then. */
  readonly mountDelay: number
  /** Milliseconds from which on a read counts as one that has waited: above what a busy node adds. */
  readonly longRead: number
  /** Milliseconds for which a daemon hangs: longer than that. */
  readonly hang: number
}

/** A node with a plugin, its volumes and their consumers, for a failure to strike. */
export interface Harness {
  readonly clock: Clock
  readonly timeline: Timeline
  readonly plugin: PluginControl
  readonly daemons: DaemonControl
  readonly node: NodeControl
  /** Undefined where the lab runs no storage. */
  readonly storage?: StorageControl
  /** Those that are not the storage; undefined where there are none. */
  readonly helpers?: readonly HelperControl[]
  /** Undefined where it is not known which processes hold a descriptor. */
  readonly holders?: HolderControl
  /** Undefined where the lab does not delete pods. */
  readonly pods?: PodControl
  readonly consumers: readonly Consumer[]
  readonly evidence: NodeEvidence
  readonly patience: Patience
  /** Where the volume that the failure strikes is staged on the node. */
  readonly stagingPath: string
  /** Resolves when the node agent knows the plugin. */
  register(): Promise<void>
  /** A failure strikes next. From now on a call has the time after which the kubelet calls again; until now it has had the time of a busy machine. */
  shortenCalls(): void
  passingPod(): PassingPod
  /** Starts the node agent that asks for the volumes' health, and makes the pods anew whose volume is INACCESSIBLE. */
  watchHealth(): AsyncDisposable
}
