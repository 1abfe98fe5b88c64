import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectionOf } from '../../src/os/mounts/fuse-connections.ts'
import { deviceOf } from '../../src/os/mounts/mount-table.ts'
import { parseMountinfo } from '../../src/os/mounts/mountinfo.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { type MountCacheEntry, parseEntry, pathOf } from '../../src/volumes/mount-cache-entry.ts'
import { argumentsOf, commOf } from '../support/sandbox.ts'

/** What is mounted on top at a path. */
export interface SeenMount {
  /** `major:minor` of the super block: one FUSE session, and all binds of it. */
  readonly device: string
  /** With its subtype: `fuse.dummy-fuse`. */
  readonly fsType: string
}

/** A process of ours. */
export interface SeenProcess {
  readonly pid: number
  /** Clock ticks since boot: tells a reused id from the first. */
  readonly start: string
  readonly comm: string
  readonly args: readonly string[]
  /** By SIGSTOP. */
  readonly stopped: boolean
  readonly exiting: boolean
  /** The super blocks of the FUSE sessions that it has a device of. */
  readonly devices: readonly string[]
}

/** What the kernel and the disk say at one moment. */
export interface Snapshot {
  /** When it was begun and when it was done (performance.now()). */
  readonly from: number
  readonly to: number
  /** By mount point. */
  readonly mounts: ReadonlyMap<string, SeenMount>
  readonly processes: readonly SeenProcess[]
  /** Staging paths in the mount cache, with their volumes. */
  readonly staged: ReadonlyMap<string, string>
  /** Target paths in the mount cache, with their volumes. */
  readonly published: ReadonlyMap<string, string>
  /** Ids of the sessions in dummy-fused's records; undefined where there is no dummy-fused. */
  readonly sessions: readonly string[] | undefined
}

/** Where the things lie that a snapshot shows. */
export interface Scene {
  /** All mounts and arguments of interest name this folder. */
  readonly folder: string
  /** The plugin's. */
  readonly stateDir: string
  /** dummy-fused's records, where there is one. */
  readonly records: string | undefined
}

/** The names that our programs have in `ps -o comm`. */
const OURS = new Set(['dummy-fuse', 'dummy-spare', 'dummy-fused', 'dummy-fuse-csi', 'dummy-fuse-keep', 'dummy-standby'])

/** Looks at the mount table, the processes and the books. It reads /proc and small files only: it waits for no file system that is mounted. */
export class Camera {
  readonly #scene: Scene
  /** The descriptor of /dev/fuse of a process that had one only when it was last gone through, by its id and start. */
  readonly #descriptors = new Map<string, number>()
  /** Entries of the mount cache by their files, whose names follow from their volumes and paths. */
  readonly #entries = new Map<string, MountCacheEntry>()

  constructor(scene: Scene) {
    this.#scene = scene
  }

  take(): Snapshot {
    const from = performance.now()
    const mounts = this.#mounts()
    const processes = this.#processes()
    const [staged, published] = [this.#books('staged'), this.#books('published')]
    return { from, mounts, processes, staged, published, sessions: this.#sessions(), to: performance.now() }
  }

  /** In the kernel's order: of two mounts on one path the later one is on top. */
  #mounts(): ReadonlyMap<string, SeenMount> {
    const lines = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    const below = lines.filter(({ mountPoint }) => mountPoint.startsWith(`${this.#scene.folder}/`))
    return new Map(below.map(({ mountPoint, device, fsType }) => [mountPoint, { device, fsType }]))
  }

  #processes(): readonly SeenProcess[] {
    return readdirSync('/proc').flatMap((name) => {
      if (!/^\d+$/.test(name)) return []
      const pid = Number(name)
      const comm = commOf(pid)
      // The arguments of others, of readers above all, may not be readable at once: their memory is what waits for a mount.
      if (!OURS.has(comm)) return []
      const stat = processStat(pid)
      if (stat === undefined) return []
      const { start, state, exiting } = stat
      const stopped = state === 'T' || state === 't'
      return [{ pid, start, comm, args: argumentsOf(pid), stopped, exiting, devices: this.#devices(pid, start, comm) }]
    })
  }

  /** A dummy-fuse serves one session, and is asked for the device that it had alone: going through all descriptors takes longer. */
  #devices(pid: number, start: string, comm: string): readonly string[] {
    const key = `${pid} ${start}`
    const known = comm === 'dummy-fuse' ? this.#descriptors.get(key) : undefined
    const connection = known === undefined ? undefined : connectionOrUndefined(known, pid)
    if (connection !== undefined) return [deviceOf(connection)]
    const found = connectionsOf(pid)
    const [only] = found
    if (only !== undefined && found.length === 1) this.#descriptors.set(key, only.fd)
    else this.#descriptors.delete(key)
    return found.map((one) => deviceOf(one.connection))
  }

  #books(kind: MountCacheEntry['kind']): ReadonlyMap<string, string> {
    const folder = join(this.#scene.stateDir, 'mountcache', kind)
    const files = namesIn(folder).filter((name) => name.endsWith('.json'))
    const entries = files.flatMap((name) => this.#entry(kind, join(folder, name)) ?? [])
    return new Map(entries.map((entry) => [pathOf(entry), entry.volumeId]))
  }

  #entry(kind: MountCacheEntry['kind'], file: string): MountCacheEntry | undefined {
    const known = this.#entries.get(file)
    if (known !== undefined) return known
    try {
      const entry = parseEntry(readFileSync(file, 'utf8'), kind)
      this.#entries.set(file, entry)
      return entry
    } catch {
      // It was removed in between.
      return undefined
    }
  }

  #sessions(): readonly string[] | undefined {
    return this.#scene.records === undefined ? undefined : namesIn(this.#scene.records).filter((name) => name.endsWith('.json'))
  }
}

function connectionOrUndefined(fd: number, pid: number): number | undefined {
  try {
    return connectionOf(fd, pid)
  } catch {
    return undefined
  }
}

/** The devices of a process with their connections. One that it closes meanwhile does not keep the others from being seen. */
function connectionsOf(pid: number): readonly { readonly fd: number; readonly connection: number }[] {
  return namesIn(`/proc/${pid}/fd`).flatMap((name) => {
    const connection = connectionOrUndefined(Number(name), pid)
    return connection === undefined ? [] : [{ fd: Number(name), connection }]
  })
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
