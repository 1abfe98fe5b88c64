import { join } from 'node:path'
import { makeDirectories } from '../os/mounts/directories.ts'
import { randomHex } from '../os/random.ts'
import type { Command } from './command.ts'
import { removeEmpty } from './empty-folders.ts'
import { SHELL } from './namespaces.ts'
import { CGROUPS } from './node-paths.ts'

/** The pods without requests and limits (kubernetes pkg/kubelet/cm, QoS class BestEffort, cgroup driver systemd). */
const BEST_EFFORT = 'kubepods-besteffort'

/** Moves itself into a cgroup, then executes a command. */
const MOVE = 'echo 0 >"$1/cgroup.procs" || exit; shift; exec -a "$0" "$@"'

/** The cgroups of pods on a node that may make cgroups, as a kubelet and containerd make them. */
export class PodCgroups {
  /** The command that executes another one in a new container of a pod. Throws SystemError if the cgroup of the container cannot be made. */
  inContainer(podUid: string, { executable, args, argv0 }: Command): Command {
    const cgroup = join(sliceOf(podUid), `cri-containerd-${randomHex(32)}.scope`)
    makeDirectories(cgroup)
    const [shell, ...options] = SHELL
    return { executable: shell, argv0: shell, args: [...options, MOVE, argv0, cgroup, executable, ...args] }
  }

  /** Removes the cgroups of a pod, as far as no process is in them. */
  remove(podUid: string): void {
    removeEmpty(sliceOf(podUid))
  }
}

/** A slice's name has the names of those above it, with dashes between them: a uid has underscores in it (systemd.slice(5)). */
function sliceOf(podUid: string): string {
  const pod = `${BEST_EFFORT}-pod${podUid.replaceAll('-', '_')}.slice`
  return join(CGROUPS, 'kubepods.slice', `${BEST_EFFORT}.slice`, pod)
}
