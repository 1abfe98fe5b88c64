import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { codeOf } from '../errors.ts'
import { randomHex } from './random.ts'

/** Files ending so are half-written ones of a process that died; whoever lists a folder passes over them. */
export const PARTIAL = '.partial'

/**
 * Writes a whole file so that after a crash or a power cut it holds either what it held or `text`. Mode 0600. Makes the folder if it is
 * missing. It is on the disk once this returns: it waits for that in this thread, because to hand it to another and hear of its end takes as
 * long again as a disk that is well.
 */
export function writeDurably(path: string, text: string): void {
  replaceFile(path, (partial) => {
    const fd = createFile(partial)
    try {
      writeSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  })
  syncFolder(dirname(path))
}

/** A new file, mode 0600, open for writing. Makes its folder if it is missing. Throws Node's error. */
export function createFile(path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
    return openSync(path, 'wx', 0o600)
  }
}

/** Has a file made beside `path` that then takes its place, whatever is there; none is left behind when that fails. */
export function replaceFile(path: string, make: (partial: string) => void): void {
  const partial = `${path}.${randomHex(4)}${PARTIAL}`
  try {
    make(partial)
    renameSync(partial, path)
  } catch (error) {
    removePartial(partial)
    throw error
  }
}

/** Removes the half-written files of processes that died; nobody else may be writing into the folder. Returns the names of all others. */
export function sweepFolder(folder: string): readonly string[] {
  const names = readdirSync(folder)
  for (const name of names.filter((one) => one.endsWith(PARTIAL))) removePartial(join(folder, name))
  return names.filter((name) => !name.endsWith(PARTIAL))
}

/** The text of a regular file. Throws for anything else: a named pipe would keep its reader waiting. */
export function readRegularFile(path: string): string {
  if (!lstatSync(path).isFile()) throw new Error('it is no regular file')
  return readFileSync(path, 'utf8')
}

/** Removes a file for good; one that is not there is fine. */
export function removeDurably(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  syncFolder(dirname(path))
}

function removePartial(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // On a read-only file system it stays, and does no harm.
  }
}

/** A rename or unlink is on disk only when its folder is (fsync(2)). */
function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
