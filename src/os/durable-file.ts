import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fsync,
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
import { promisify } from 'node:util'
import { codeOf } from '../errors.ts'

/** Files ending so are half-written ones of a process that died; whoever lists a folder passes over them. */
export const PARTIAL = '.partial'

/**
 * Writes a whole file so that after a crash or a power cut there is either what was there before or all of `text`. Mode 0600. Makes the
 * folder if it is missing. The bytes are on the disk once this has resolved; the name follows at once, but is not waited for: whoever loses
 * the power in that millisecond has to do with a rebooted machine, where a missing record is a volume that is mounted anew.
 * Only waiting for the disk is left to another thread: all else ends in the page cache, sooner than a thread could be woken for it.
 */
export async function writeDurably(path: string, text: string): Promise<void> {
  const partial = `${path}.${randomBytes(4).toString('hex')}${PARTIAL}`
  const fd = openIn(dirname(path), partial)
  try {
    try {
      writeSync(fd, text)
      await promisify(fsync)(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(partial, path)
  } catch (error) {
    removePartial(partial)
    throw error
  }
  // A disk that fails here fails again at the next record, where somebody waits.
  void syncFolder(dirname(path)).catch(() => undefined)
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
export async function removeDurably(path: string): Promise<void> {
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  await syncFolder(dirname(path))
}

function removePartial(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // On a read-only file system it stays, and does no harm.
  }
}

function openIn(folder: string, path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    mkdirSync(folder, { recursive: true, mode: 0o750 })
    return openSync(path, 'wx', 0o600)
  }
}

/** A rename or unlink is on disk only when its folder is (fsync(2)). */
async function syncFolder(folder: string): Promise<void> {
  const fd = openSync(folder, 'r')
  try {
    await promisify(fsync)(fd)
  } finally {
    closeSync(fd)
  }
}
