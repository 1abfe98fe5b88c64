import { closeSync, type Dirent, fsyncSync, openSync, readdirSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { codeOf, naming } from '../../errors.ts'
import { makeDirectories } from '../mounts/directories.ts'
import { randomHex } from '../random.ts'

/** Files ending so are half-written ones of a process that died. */
const PARTIAL = '.partial'

/**
 * Writes a whole file. After a crash or a power cut it has either its former content or `text`. Mode 0600. Makes the folder if it is missing. The
 * file is synced to disk when this returns. The sync runs in this thread, because the hand-over to another thread takes as long as the sync of a
 * healthy disk.
 */
export function writeDurably(path: string, text: string): void {
  replaceFile(path, text, fsyncSync)
  syncFolder(dirname(path))
}

/**
 * Writes a file beside `path` that then takes its place, whatever is there; none is left behind when that fails. Mode 0600. Makes the folder
 * if it is missing. `written` is called with the descriptor before the file has its name. Throws Node's error, or
 * SystemError for what is done with the descriptor.
 */
export function replaceFile(path: string, text: string, written: (fd: number) => void = () => undefined): void {
  const partial = `${path}.${randomHex(4)}${PARTIAL}`
  try {
    const fd = createFile(partial)
    try {
      writeSync(fd, text)
      written(fd)
    } catch (error) {
      throw naming(path, error)
    } finally {
      closeSync(fd)
    }
    renameSync(partial, path)
  } catch (error) {
    removePartial(partial)
    throw error
  }
}

/** What a folder holds, files that are half-written left out. */
export function listFolder(folder: string): readonly Dirent[] {
  return readdirSync(folder, { withFileTypes: true }).filter((entry) => !isPartial(entry))
}

/** {@link listFolder}, which also removes the half-written files of processes that died. No other process may write into the folder. */
export function sweepFolder(folder: string): readonly Dirent[] {
  const all = readdirSync(folder, { withFileTypes: true })
  for (const { name } of all.filter(isPartial)) removePartial(join(folder, name))
  return all.filter((entry) => !isPartial(entry))
}

/** The text of a regular file. Throws for anything else: a named pipe would keep its reader waiting. */
export function readRegularFile(entry: Dirent): string {
  if (!entry.isFile()) throw new Error('it is no regular file')
  return readFileSync(`${entry.parentPath}/${entry.name}`, 'utf8')
}

/** Removes a file, if it exists, and syncs its folder. Throws Node's error, or SystemError for the folder. */
export function removeDurably(path: string): void {
  removeFile(path)
  syncFolder(dirname(path))
}

/** Removes a file, if it exists. Throws Node's error. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

function createFile(path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    makeDirectories(dirname(path), 0o750)
    return openSync(path, 'wx', 0o600)
  }
}

function isPartial({ name }: Dirent): boolean {
  return name.endsWith(PARTIAL)
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
  } catch (error) {
    throw naming(folder, error)
  } finally {
    closeSync(fd)
  }
}
