import { randomBytes } from 'node:crypto'
import { lstatSync, mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '../errors.ts'

/** Files ending so are half-written ones of a process that died; whoever lists a folder passes over them. */
export const PARTIAL = '.partial'

/**
 * Writes a whole file so that after a crash or a power cut it holds either what it held or `text`, and once this has resolved, `text`.
 * Mode 0600. Makes the folder if it is missing.
 */
export async function writeDurably(path: string, text: string): Promise<void> {
  const partial = `${path}.${randomBytes(4).toString('hex')}${PARTIAL}`
  const file = await openIn(dirname(path), partial)
  try {
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (error) {
    await unlink(partial).catch(() => undefined)
    throw error
  }
  await syncFolder(dirname(path))
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
    await unlink(path)
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

async function openIn(folder: string, path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    mkdirSync(folder, { recursive: true, mode: 0o750 })
    return await open(path, 'wx', 0o600)
  }
}

/** A rename or unlink is on disk only when its folder is (fsync(2)). */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
