import { hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import { listFolder, readRegularFile, removeFile, replaceFile, sweepFolder } from '../../os/descriptors/durable-file.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { isFuse, type Mount } from '../../os/mounts/mount-table.ts'
import { processStat, type ProcessStat } from '../../os/processes/processes.ts'
import { parseJson } from '../../schema.ts'
import { isStopped, toDaemon } from '../found-daemon.ts'
import type { Daemon } from '../host.ts'

/** A process of a program, as it was when it was found. `start`: clock ticks since boot, which tell a reused id from the first. */
interface RecordedProcess {
  readonly pid: number
  readonly start: string
}

/** The mount flags and parameters of a volume, as they were given. Its secrets are kept elsewhere. */
interface ProgramSource {
  readonly mountFlags: readonly string[]
  readonly parameters: Readonly<Record<string, string>>
}

/** A start of a program for one path, from before the program is executed until nothing of it is left. */
export interface ProgramRecord {
  readonly version: 1
  /** /proc/sys/kernel/random/boot_id of the boot in which it was begun. */
  readonly bootId: string
  readonly path: string
  readonly volumeId: string
  /** The name of the program's file. */
  readonly program: string
  /** The value of {@link START_VARIABLE} in the environment of its processes. */
  readonly id: string
  /** `major:minor` of what was mounted at the path before. */
  readonly before: readonly string[]
  /** `major:minor` of its session, once it counts as mounted. */
  readonly device?: string
  /** The program runs behind a shield, which starts it again when it ends. */
  readonly shielded?: true
  /** What its command was made of: a plugin in another container starts the shield again. */
  readonly source?: ProgramSource
  /** The processes that have the device of the session open. */
  readonly processes: readonly RecordedProcess[]
}

const RECORD = v.object({
  version: v.literal(1),
  bootId: v.string(),
  path: v.string(),
  volumeId: v.string(),
  program: v.string(),
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'is not an id')),
  before: v.array(v.string()),
  device: v.exactOptional(v.string()),
  shielded: v.exactOptional(v.literal(true)),
  source: v.exactOptional(v.object({ mountFlags: v.array(v.string()), parameters: v.record(v.string(), v.string()) })),
  processes: v.array(v.object({ pid: v.number(), start: v.string() })),
})

/**
 * The sessions of programs, one file a path in the state folder. A mount of a program has no name that tells it from others, so this record decides which
 * mounts are the plugin's own. A record of an earlier boot is removed: its mounts and processes are gone.
 */
export class ProgramRecords {
  readonly #folder: string
  readonly #bootId: string
  readonly #log: Logger
  readonly #byPath = new Map<string, ProgramRecord>()

  constructor(folder: string, bootId: string, log: Logger) {
    this.#folder = folder
    this.#bootId = bootId
    this.#log = log
  }

  /** Reads all records and removes those of earlier boots. Throws if the folder cannot be made or read. */
  load(): void {
    makeDirectories(this.#folder, 0o750)
    for (const file of sweepFolder(this.#folder)) {
      const record = this.#read(file)
      if (record !== undefined && record.bootId !== this.#bootId) removeFile(join(this.#folder, file.name))
    }
  }

  /** Reads all records and changes nothing: for a program that looks while a plugin may be running. */
  peek(): void {
    if (existsSync(this.#folder)) for (const file of listFolder(this.#folder)) this.#read(file)
  }

  all(): readonly ProgramRecord[] {
    return [...this.#byPath.values()]
  }

  at(path: string): ProgramRecord | undefined {
    return this.#byPath.get(path)
  }

  /** Writes a record in place of the former one of its path. Throws Node's error. */
  save(record: ProgramRecord): void {
    // A power cut removes the mounts too, so it need not be on the disk.
    replaceFile(this.#fileOf(record.path), `${JSON.stringify(record)}\n`)
    this.#byPath.set(record.path, record)
  }

  /** Throws Node's error. */
  remove(path: string): void {
    removeFile(this.#fileOf(path))
    this.#byPath.delete(path)
  }

  /**
   * Whether a mount at a path is a session of a program of this plugin, or a bind of one: by the device of the session. While a program is being started, a FUSE
   * mount that has come to its path is its own.
   */
  includes(path: string, { fsType, device }: Pick<Mount, 'fsType' | 'device'>): boolean {
    if (!isFuse(fsType)) return false
    const own = this.#byPath.get(path)
    if (own !== undefined && own.device === undefined && !own.before.includes(device)) return true
    return this.all().some((record) => record.device === device)
  }

  /** The process that serves a path, as recorded; undefined if all of its processes have ended. */
  daemonAt(path: string, device: string | undefined): Daemon | undefined {
    const record = this.#byPath.get(path)
    if (record === undefined || (device !== undefined && record.device !== device)) return undefined
    const running = runningOf(record)
    const daemon = toDaemon(running.find(({ exiting }) => !exiting))
    if (daemon === undefined) return undefined
    // A program of several processes answers as long as one of them runs. What keeps a shield may be stopped while the shield serves.
    return { ...daemon, stopped: record.shielded !== true && running.every(isStopped) }
  }

  /** Whether the session of a path, with super block `device`, is served by a shield that runs, or by its next process. */
  isShielded(path: string, device: string): boolean {
    const record = this.#byPath.get(path)
    return record?.shielded === true && record.device === device && runningOf(record).some(({ exiting }) => !exiting)
  }

  /** The paths of the sessions that are served by shields that run. */
  shielded(): readonly string[] {
    return this.all()
      .filter(({ path, device }) => device !== undefined && this.isShielded(path, device))
      .map(({ path }) => path)
  }

  #read(file: Parameters<typeof readRegularFile>[0]): ProgramRecord | undefined {
    try {
      const record = parseJson(RECORD, readRegularFile(file))
      if (record.bootId === this.#bootId) this.#byPath.set(record.path, record)
      return record
    } catch (error) {
      this.#log.error(`Skipped damaged program record ${join(this.#folder, file.name)}: ${messageOf(error)}`)
      return undefined
    }
  }

  #fileOf(path: string): string {
    return join(this.#folder, `${keyOf(path)}.json`)
  }
}

/** A name for what is kept of a path, which is unique. */
export function keyOf(path: string): string {
  return hash('sha256', path).slice(0, 24)
}

/** The recorded processes that run. */
export function runningOf({ processes }: ProgramRecord): readonly ProcessStat[] {
  return processes.flatMap(({ pid, start }) => {
    const now = processStat(pid)
    return now?.start === start ? [now] : []
  })
}
