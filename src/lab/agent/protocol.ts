/*
 * What the lab asks of its agent on a node of a cluster, one JSON object a line, and what the agent answers. The agent is the process of a
 * privileged pod with the node's PID namespace; `pod` is the uid of a pod, `comm` a name as `ps -o comm` shows it.
 */

/** What can be asked for, by the name of the act: its arguments, and its result. */
export interface Acts {
  /** The agent's version and commit, and nothing else: its answer has the time. */
  readonly hello: { readonly takes: object; readonly gives: { readonly version: string; readonly commit: string } }
  /** The processes of pods that have this name, and this last argument if one is given. */
  readonly processes: {
    readonly takes: { readonly pods: readonly string[]; readonly comm: string; readonly last?: string }
    readonly gives: readonly number[]
  }
  /** Sends a signal, and waits until the processes have ended (`gone`) or stopped. */
  readonly signal: {
    readonly takes: { readonly pids: readonly number[]; readonly signal: NodeJS.Signals; readonly until?: 'gone' | 'stopped' }
    readonly gives: null
  }
  /** Waits until processes have ended. */
  readonly ended: { readonly takes: { readonly pids: readonly number[]; readonly deadline: number }; readonly gives: null }
  /** The lines of the node's mountinfo that have one of these texts. */
  readonly mounts: { readonly takes: { readonly texts: readonly string[] }; readonly gives: readonly string[] }
  /** The lines of the mountinfo of a process of a pod whose mount points are below a folder and have one of these texts. */
  readonly podMounts: {
    readonly takes: { readonly pod: string; readonly comm: string; readonly below: string }
    readonly gives: readonly string[]
  }
  /** Which process of these pods holds which FUSE descriptor: `dummy-fuse[231] fd 5: connection 74`. */
  readonly holders: { readonly takes: { readonly pods: readonly string[] }; readonly gives: readonly string[] }
  /** The files on the node's own disk below folders of the kubelet, whatever is mounted over them. `remove`: the files of this name are removed. */
  readonly disk: {
    readonly takes: { readonly folders: readonly string[]; readonly remove?: string }
    readonly gives: readonly string[]
  }
  /** umount -l on the node. */
  readonly unmount: { readonly takes: { readonly paths: readonly string[] }; readonly gives: null }
  /** Aborts the FUSE connection of what is mounted at a path of the node, and gives its number. */
  readonly abort: { readonly takes: { readonly path: string }; readonly gives: number }
  /** Lowers the soft RLIMIT_NOFILE of processes to what they have open; `lift`: raises it to the hard one. */
  readonly limit: { readonly takes: { readonly pids: readonly number[]; readonly lift: boolean }; readonly gives: null }
  /** Whether a process listens on a unix socket. */
  readonly listens: { readonly takes: { readonly socket: string }; readonly gives: boolean }
  /** Removes folders of the node, after what is still mounted below them is unmounted. Gives the mount points that were. */
  readonly remove: { readonly takes: { readonly folders: readonly string[] }; readonly gives: readonly string[] }
}

/** A question. `id` is that of its answer. */
export interface AgentRequest<A extends keyof Acts = keyof Acts> {
  readonly id: number
  readonly act: A
  readonly args: Acts[A]['takes']
}

/** An answer. `at`: when it was carried out, milliseconds on the node's CLOCK_MONOTONIC. */
export type AgentAnswer =
  | { readonly id: number; readonly at: number; readonly result: unknown }
  | { readonly id: number; readonly at: number; readonly error: string }
