import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { codeOf, errnoText } from '../errors.ts'
import { parseMountinfo, topmostAt } from '../os/mounts/mountinfo.ts'
import { run } from '../os/processes/run.ts'
import { type Command, withArgs } from './command.ts'
import { SHELL } from './namespaces.ts'
import { KUBELET, targetPath } from './node-paths.ts'
import type { Pod } from './pod.ts'
import type { PodCgroups } from './pod-cgroups.ts'
import { StartedProcess } from './started-process.ts'
import { until } from './wait.ts'

/** Milliseconds that the runtime waits for the host path of a volume. */
const STAT_DEADLINE = 5000

/**
 * A container's mounts, made in its new mount namespace as a runtime makes them: the host path bound to /mnt with the propagation
 * asked for, the rest of the node out of sight. What the machine itself may have there goes first, and all else that `mount | grep /mnt`
 * would show; the executable is opened before, for it may be there. A bind of a shared mount in a slave namespace is a slave of it.
 */
const SET_UP = `
set -e
exec 9<"$2"
while read -r _ _ _ _ path _; do
  case $path in */mnt*) umount -n -l "$path" 2>/dev/null || true ;; esac
done < <(cat /proc/self/mountinfo)
mount -n --rbind "$1" /mnt
mount -n --make-r"$3" /mnt
umount -n -l ${KUBELET}
shift 3
exec -a "$0" /proc/self/fd/9 "$@"
`

/** A container that could not be created; the message is the kubelet's in the pod's events. */
export class CreateError extends Error {
  override readonly name = 'CreateError'
}

/** Creates containers as containerd does under the kubelet: processes in mount namespaces of their own. */
export class ContainerRuntime {
  readonly #program: Command
  readonly #cgroups: PodCgroups | undefined

  /** `program`: what every container runs; its flags come from the pod. `cgroups`: those that the pods have; undefined if they have none of their own. */
  constructor(program: Command, cgroups?: PodCgroups) {
    this.#program = program
    this.#cgroups = cgroups
  }

  /**
   * Creates and starts the pod's container, and returns when its mounts are in place. Throws CreateError when the runtime cannot
   * look at the volume's host path.
   */
  async start(pod: Pod): Promise<StartedProcess> {
    const { spec } = pod
    const target = targetPath(pod.uid, spec.volume.pv)
    const hostPath = spec.mounts === 'volume' ? target : dirname(target)
    await stat(hostPath)
    const propagation = spec.propagation === 'None' ? 'private' : 'slave'
    const program = withArgs(this.#program, ['--file', pod.file, ...spec.flags])
    const container = await this.run(pod, {
      executable: 'unshare',
      argv0: 'unshare',
      args: [
        ...['--mount', '--propagation', 'slave', '--', ...SHELL, SET_UP, program.argv0],
        ...[hostPath, program.executable, propagation, ...program.args],
      ],
    })
    pod.container = container
    // The last thing that the set-up does; the program itself comes next.
    await until(`the mounts of ${pod.name}`, () => !container.running || !hasMountAt(container.pid, KUBELET))
    return container
  }

  /** Starts a process of a pod with the mounts of the node. Its cgroup ends with it. */
  async run({ uid, log }: Pod, command: Command): Promise<StartedProcess> {
    const cgroups = this.#cgroups
    if (cgroups === undefined) return await StartedProcess.start(command, log)
    const started = await StartedProcess.start(cgroups.inContainer(uid, command), log)
    const remove = (): void => {
      cgroups.remove(uid)
    }
    started.ending.then(remove, remove)
    return started
  }
}

function hasMountAt(pid: number, path: string): boolean {
  try {
    return topmostAt(parseMountinfo(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')), path) !== undefined
  } catch (error) {
    // A zombie has no mounts any more (EINVAL), and one that was reaped no folder.
    if (codeOf(error) === undefined) throw error
    return false
  }
}

async function stat(path: string): Promise<void> {
  const result = await run('stat', ['--', path], STAT_DEADLINE)
  if (result.kind === 'exited' && result.status === 0) return
  // coreutils ends its line with what strerror(3) says.
  const said = result.stderr.trim().split(': ').at(-1) ?? ''
  const why = result.kind === 'timeout' ? errnoText('ETIMEDOUT') : said.toLowerCase()
  throw new CreateError(
    `Error: failed to generate container spec: failed to generate spec: failed to stat "${path}": stat ${path}: ${why}`,
  )
}
