import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, messageOf } from '../../errors.ts'
import { MNT_DETACH, type Libc } from '../../os/libc.ts'
import { DetachedBind } from '../../os/mounts/detached-bind.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { connectionOfDevice } from '../../os/mounts/mount-table.ts'
import { parseMountinfo, topmostAt } from '../../os/mounts/mountinfo.ts'
import { O_PATH } from '../../os/mounts/pinned-paths.ts'
import { processesNamed, processIds, processStat, sendSignal } from '../../os/processes/processes.ts'
import { hasListener } from '../../os/sockets/unix-socket.ts'
import { version } from '../../version.ts'
import { monotonicMs } from '../clock.ts'
import { fuseDescriptorsOf } from '../fuse-holders.ts'
import { until } from '../wait.ts'
import type { Acts, AgentAnswer, AgentRequest } from './protocol.ts'

/** Milliseconds that a signal may take to have its effect. */
const SIGNAL_DEADLINE = 10_000

type Handlers = { readonly [A in keyof Acts]: (args: Acts[A]['takes']) => Promise<Acts[A]['gives']> | Acts[A]['gives'] }

/** Where the agent finds what it works on. */
interface AgentPlaces {
  /** The kubelet's root folder, at its path on the node, with mounts propagated both ways. */
  readonly kubelet: string
  /** A folder of the agent's own for mounts that nobody else sees. */
  readonly scratch: string
}

/**
 * Acts on a node for the lab, from a privileged pod that shares the node's PID namespace. It never opens what is mounted: a FUSE daemon that hangs would hold
 * it up.
 */
export class NodeAgent {
  readonly #places: AgentPlaces
  readonly #libc: Libc
  readonly #stopped = new Set<number>()
  readonly #limited = new Set<number>()

  constructor(places: AgentPlaces, libc: Libc) {
    this.#places = places
    this.#libc = libc
  }

  /** Carries out a request; what fails is in the answer. */
  async answer({ id, act, args }: AgentRequest): Promise<AgentAnswer> {
    try {
      const handler = this.#handlers[act] as ((args: unknown) => unknown) | undefined
      if (handler === undefined) throw new Error(`there is no act '${act}'`)
      const result = (await handler(args)) ?? null
      return { id, at: monotonicMs(), result }
    } catch (error) {
      return { id, at: monotonicMs(), error: messageOf(error) }
    }
  }

  /** Resumes what was stopped and lifts each limit that was set: for the end of the lab. */
  undo(): void {
    for (const pid of this.#stopped) sendSignal(pid, 'SIGCONT')
    for (const pid of this.#limited) this.#limit(pid, true)
  }

  readonly #handlers: Handlers = {
    hello: () => version(),
    processes: ({ pods, comm, last }) =>
      processesNamed(comm)
        .filter(({ stat, args }) => (last === undefined || args.at(-1) === last) && pods.some((pod) => isOfPod(stat.pid, pod)))
        .map(({ stat }) => stat.pid),
    signal: async ({ pids, signal, until: effect }) => {
      for (const pid of pids) sendSignal(pid, signal)
      for (const pid of pids)
        if (signal === 'SIGSTOP') this.#stopped.add(pid)
        else if (signal === 'SIGCONT') this.#stopped.delete(pid)
      if (effect === 'gone') await ended(pids, SIGNAL_DEADLINE)
      if (effect === 'stopped')
        await until(
          `processes ${pids.join(', ')} have stopped`,
          () => pids.every((pid) => !['R', 'S'].includes(processStat(pid)?.state ?? '')),
          SIGNAL_DEADLINE,
        )
      return null
    },
    ended: async ({ pids, deadline }) => {
      await ended(pids, deadline)
      return null
    },
    mounts: ({ texts }) => nodeMountinfo().filter((line) => texts.some((text) => line.includes(text))),
    podMounts: ({ pod, comm, below }) => {
      const pid = processesNamed(comm).find(({ stat }) => isOfPod(stat.pid, pod))?.stat.pid
      return pid === undefined ? [] : mountinfoOf(String(pid)).filter((line) => line.split(' ')[4]?.startsWith(below) === true)
    },
    holders: ({ pods }) =>
      processIds().flatMap((pid) =>
        pods.some((pod) => isOfPod(pid, pod)) ? fuseDescriptorsOf(pid).map(({ words }) => words) : [],
      ),
    disk: ({ folders, remove }) => this.#disk(folders, remove),
    unmount: ({ paths }) => {
      for (const path of paths) this.#libc.umount(path, MNT_DETACH)
      return null
    },
    abort: ({ path }) => this.#abort(path),
    limit: ({ pids, lift }) => {
      for (const pid of pids) this.#limit(pid, lift)
      return null
    },
    listens: async ({ socket }) => await hasListener(socket),
    remove: ({ folders }) => this.#remove(folders),
  }

  #limit(pid: number, lift: boolean): void {
    if (processStat(pid) === undefined) return
    this.#libc.limitDescriptors(pid, lift ? undefined : highestDescriptor(pid) + 1)
    if (lift) this.#limited.delete(pid)
    else this.#limited.add(pid)
  }

  #abort(path: string): number {
    const mount = topmostAt(parseMountinfo(readFileSync('/proc/1/mountinfo', 'utf8')), path)
    if (mount === undefined) throw new Error(`nothing is mounted at ${path} of the node`)
    const connection = connectionOfDevice(mount.device)
    this.#withFusectl((control) => {
      writeFileSync(join(control, String(connection), 'abort'), '1')
    })
    return connection
  }

  /**
   * A bind of the kubelet's folder alone, without what is mounted in it, shows what lies on the disk. It is not attached. An attached bind is a peer of the node's mount:
   * mounts that are made meanwhile propagate to it, and its unmount takes them off the node too (fs/pnode.c, propagate_umount).
   */
  #disk(folders: readonly string[], remove: string | undefined): readonly string[] {
    const { kubelet } = this.#places
    const source = openSync(kubelet, O_PATH)
    try {
      using bind = DetachedBind.of(this.#libc, source)
      if (bind === undefined)
        throw new Error(`cannot look below the mounts in ${kubelet}: open_tree(2) needs Linux 5.2 and a privileged pod`)
      const root = bind.path
      return folders
        .filter((folder) => folder.startsWith(`${kubelet}/`))
        .flatMap((folder) => {
          const files = filesBelow(join(root, folder.slice(kubelet.length)))
          for (const file of files) if (remove !== undefined && file.endsWith(`/${remove}`)) rmSync(file)
          return files.map((file) => join(kubelet, file.slice(root.length)))
        })
    } finally {
      closeSync(source)
    }
  }

  #remove(folders: readonly string[]): readonly string[] {
    const mounted = nodeMountinfo()
      .map((line) => line.split(' ')[4] ?? '')
      .filter((path) => folders.some((folder) => path === folder || path.startsWith(`${folder}/`)))
    for (const path of mounted.toReversed()) this.#libc.umount(path, MNT_DETACH)
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
    return mounted
  }

  #withFusectl(act: (at: string) => void): void {
    const at = join(this.#places.scratch, 'fusectl')
    makeDirectories(at)
    this.#libc.mount('none', at, 'fusectl', 0, null)
    try {
      act(at)
    } finally {
      this.#libc.umount(at, MNT_DETACH)
    }
  }
}

async function ended(pids: readonly number[], deadline: number): Promise<void> {
  await until(`processes ${pids.join(', ')} have ended`, () => pids.every((pid) => processStat(pid) === undefined), deadline)
}

/** Whether a process is in a cgroup of a pod: the path has the pod's uid, with underscores for dashes where systemd makes the cgroups. */
function isOfPod(pid: number, pod: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8').replaceAll('_', '-').includes(`pod${pod}`)
  } catch {
    // It has ended.
    return false
  }
}

/** With the node's PID namespace, process 1 is the node's own. */
function nodeMountinfo(): readonly string[] {
  return mountinfoOf('1')
}

function mountinfoOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  } catch (error) {
    if (codeOf(error) === 'EACCES') throw error
    // It has ended.
    return []
  }
}

function highestDescriptor(pid: number): number {
  return Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number))
}

function filesBelow(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return []
  }
}
