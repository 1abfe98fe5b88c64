import { type Dirent, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../errors.ts'
import { listFolder, readRegularFile, removeDurably, sweepFolder, writeDurably } from '../os/durable-file.ts'
import { decodeRecord, encodeRecord, type ReadRecord, type SessionRecord } from './record.ts'

const SUFFIX = '.json'
/** What a record is renamed to that cannot be read: for people to look at. */
const DAMAGED = '.damaged'

/** Where a daemon with this state folder has its sessions' records. */
export function recordsFolder(stateDir: string): string {
  return join(stateDir, 'sessions')
}

/** The sessions' records in a folder of their own, one file each, written whole or not at all. */
export class Records {
  readonly #folder: string

  /** Makes the folder if it is missing. Throws Node's error. */
  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  }

  /** All there are; for whoever is the only one that writes them. */
  read(): readonly ReadRecord[] {
    return readAll(sweepFolder(this.#folder))
  }

  /** All there are, for others. */
  peek(): readonly ReadRecord[] {
    return readAll(listFolder(this.#folder))
  }

  /** Once this returns, a successor will find it. Throws Node's error. */
  save(record: SessionRecord): void {
    writeDurably(this.#path(record.id), encodeRecord(record))
  }

  remove(id: string): void {
    removeDurably(this.#path(id))
  }

  /** Puts a record that cannot be read out of the way. */
  setAside(id: string): void {
    renameSync(this.#path(id), join(this.#folder, `${id}${DAMAGED}`))
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
