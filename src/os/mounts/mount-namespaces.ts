import { readFileSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { codeOf } from '../../errors.ts'
import { pidNamespace, processIds, runsOurExecutable } from '../processes/processes.ts'
import { type MountinfoLine, parseMountinfo } from './mountinfo.ts'

/** A mount namespace (mount_namespaces(7)), and the mounts of some file system types in it. */
export interface MountNamespace {
  /** Whether it is this process's own. */
  readonly own: boolean
  /** The process with the lowest id in it, and its name (proc_pid_comm(5)). */
  readonly pid: number
  readonly name: string
  /** The uid of the pod that this process belongs to, by its cgroup; undefined for a process of no pod. */
  readonly pod: string | undefined
  /** Mounts that no other mount at the same place hides. */
  readonly mounts: readonly Pick<MountinfoLine, 'device' | 'mountPoint'>[]
}

/** What a search of /proc has found. */
export interface FoundNamespaces {
  /** One for each mount namespace in which a mount of these types is. */
  readonly namespaces: readonly MountNamespace[]
  /** Whether a process of a pod was seen: then a process whose cgroup names none belongs to none. */
  readonly seesPods: boolean
  /**
   * Whether every process of the node was seen that can have a bind of a mount of this device. False in a PID namespace of the plugin's own, where the
   * processes of other containers are not in /proc.
   */
  readonly whole: (device: string) => boolean
}

/** Processes that are looked at in one turn of the event loop. */
const PORTION = 50

/** The first PID namespace of a machine (PROC_PID_INIT_INO in include/linux/proc_ns.h). */
const FIRST_PID_NAMESPACE = '4026531836'

/** Searches /proc for the mounts of some file system types in all mount namespaces. Searches at the same time, or soon after each other, are one. */
export class MountNamespaces {
  readonly #isWanted: (fsType: string) => boolean
  readonly #maxAge: number
  #last: { readonly at: number; readonly found: Promise<FoundNamespaces> } | undefined

  /** `isWanted`: whether a type, with its subtype as mountinfo has it, is looked for. `maxAge`: milliseconds for which a search counts. */
  constructor(isWanted: (fsType: string) => boolean, maxAge: number) {
    this.#isWanted = isWanted
    this.#maxAge = maxAge
  }

  /** Reads the mountinfo of one process of each mount namespace. Rejects with Node's error if /proc cannot be read. */
  async search(): Promise<FoundNamespaces> {
    const now = performance.now()
    if (this.#last === undefined || now - this.#last.at > this.#maxAge) this.#last = { at: now, found: this.#search() }
    return await this.#last.found
  }

  async #search(): Promise<FoundNamespaces> {
    const own = readlinkSync('/proc/self/ns/mnt')
    const pids = processIds().toSorted((a, b) => a - b)
    const namespaces = new Map<string, MountNamespace>()
    let isComplete = true
    for (const [index, pid] of pids.entries()) {
      if (index % PORTION === PORTION - 1) await setImmediate()
      try {
        const link = readlinkSync(`/proc/${pid}/ns/mnt`)
        if (!namespaces.has(link)) namespaces.set(link, this.#namespaceOf(pid, link === own))
      } catch (error) {
        // It has ended: ENOENT, ESRCH, and EINVAL for the mountinfo of a process that has left its namespace.
        const hasEnded = ['ENOENT', 'ESRCH', 'EINVAL'].includes(codeOf(error) ?? '')
        // A machine's process 1 may have more capabilities than we, and is no consumer.
        if (!hasEnded && pid !== 1) isComplete = false
      }
    }
    const all = [...namespaces.values()]
    return {
      namespaces: all.filter(({ mounts }) => mounts.length > 0),
      seesPods: all.some(({ pod }) => pod !== undefined),
      whole: (device) => isComplete && isNodes(namespaces, device),
    }
  }

  #namespaceOf(pid: number, own: boolean): MountNamespace {
    const lines = parseMountinfo(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'))
    const mounts = lines.filter((line) => this.#isWanted(line.fsType))
    const shown = mounts.length === 0 ? [] : mounts.filter((line) => !isHidden(line, lines))
    const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
    return { own, pid, name, pod: podOf(readFileSync(`/proc/${pid}/cgroup`, 'utf8')), mounts: shown }
  }
}

/**
 * Whether the processes in /proc are those of the node: always in the machine's first PID namespace. In another one if process 1 is of the node, as in a node that
 * is a container itself: it runs another program than ours, and has the mount of this device, which the pause container of a pod has not.
 */
function isNodes(namespaces: ReadonlyMap<string, MountNamespace>, device: string): boolean {
  if (pidNamespace() === FIRST_PID_NAMESPACE) return true
  if (runsOurExecutable(1)) return false
  const ofFirst = [...namespaces.values()].find(({ pid }) => pid === 1)
  return ofFirst?.mounts.some((mount) => mount.device === device) ?? false
}

function isHidden({ id, mountPoint }: MountinfoLine, lines: readonly MountinfoLine[]): boolean {
  return lines.some((line) => line.parentId === id && line.mountPoint === mountPoint)
}

const UID = '[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}'

/** The uid in the path of a pod's cgroup: `…/pod<uid>/…` of the cgroupfs driver, `…-pod<uid>.slice/…` with underscores of systemd's. */
function podOf(cgroup: string): string | undefined {
  return new RegExp(`pod(${UID})`).exec(cgroup)?.[1]?.replaceAll('_', '-')
}

/** The uid of the pod that a path of the kubelet belongs to: `/var/lib/kubelet/pods/<uid>/volumes/…`. */
export function podOfPath(path: string): string | undefined {
  return new RegExp(`/pods/(${UID})/`).exec(path)?.[1]
}
