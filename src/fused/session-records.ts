import { type Dirent, renameSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { Backoff, type BackoffLimits } from '../os/backoff.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { listFolder, readRegularFile, removeFile, replaceFile, sweepFolder } from '../os/descriptors/durable-file.ts'
import { decodeRecord, encodeRecord, type ReadRecord, type SessionRecord } from './session-record.ts'

const SUFFIX = '.json'
/** What a record is renamed to that cannot be read: for people to look at. */
const DAMAGED = '.damaged'

/** Where a daemon with this state folder has its sessions' records. */
export function recordsFolder(stateDir: string): string {
  return join(stateDir, 'sessions')
}

/**
 * The sessions' records in a folder of their own, one file each, written whole or not at all. They are not synced: sessions do not outlive a
 * boot, and a file that was renamed into place outlives every process without that.
 */
export class Records {
  readonly #folder: string
  readonly #retries: BackoffLimits
  readonly #log: Logger

  /** Makes the folder if it is missing. `retries`: when a removal that failed is tried again. Throws Node's error. */
  constructor(folder: string, retries: BackoffLimits, log: Logger) {
    this.#folder = folder
    this.#retries = retries
    this.#log = log
    makeDirectories(folder, 0o700)
  }

  /** All records; only for the one process that writes them. */
  read(): readonly ReadRecord[] {
    return readAll(sweepFolder(this.#folder))
  }

  /** All records, for other processes. */
  peek(): readonly ReadRecord[] {
    return readAll(listFolder(this.#folder))
  }

  /** Once this returns, a successor finds the record. Throws Node's error. */
  save(record: SessionRecord): void {
    replaceFile(this.#path(record.id), encodeRecord(record))
  }

  /**
   * Removes a record, if it exists. A removal that fails (EROFS, EIO) is logged and tried again until it succeeds or the process ends; then the
   * successor removes the record, which has no session.
   */
  remove(id: string): void {
    this.#remove(id, new Backoff(this.#retries))
  }

  /** Renames a record that cannot be read, so that it is not read again. Throws Node's error. */
  setAside(id: string): void {
    renameSync(this.#path(id), join(this.#folder, `${id}${DAMAGED}`))
  }

  #remove(id: string, backoff: Backoff): void {
    try {
      removeFile(this.#path(id))
    } catch (error) {
      if (backoff.failures === 0)
        this.#log.error(`cannot remove the record ${this.#path(id)}: ${messageOf(error)}; it is tried again until it succeeds`)
      setTimeout(() => this.#remove(id, backoff), backoff.next()).unref()
    }
  }

  #path(id: string): string {
    return join(this.#folder, `${id}${SUFFIX}`)
  }
}

function readAll(files: readonly Dirent[]): readonly ReadRecord[] {
  return files.filter(({ name }) => name.endsWith(SUFFIX)).map(readOne)
}

function readOne(entry: Dirent): ReadRecord {
  const id = entry.name.slice(0, -SUFFIX.length)
  try {
    return decodeRecord(id, readRegularFile(entry))
  } catch (error) {
    return { kind: 'damaged', id, why: messageOf(error) }
  }
}
