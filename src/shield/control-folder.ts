import { createHash } from 'node:crypto'
import { closeSync, existsSync, fstatSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf, ProgramError } from '../errors.ts'
import { replaceFile } from '../os/descriptors/durable-file.ts'
import { lockFolder } from '../os/descriptors/folder-lock.ts'
import type { Libc } from '../os/libc.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { STATUS } from '../os/processes/exit-status.ts'
import { hasListener } from '../os/sockets/unix-socket.ts'
import { jsonOrUndefined } from '../schema.ts'
import { RECORD, type ShieldKeeper, type ShieldRecord } from './control-protocol.ts'

/** Where each shield of this machine has a folder. */
const ROOT = '/run/dummy-fuse-shield'

/** Milliseconds for which a folder is waited for that is locked while nobody listens there: its shield begins or ends. */
const TURN = 5000
const LOOK = 50

/** A shield's folder as it is found. */
export interface FoundShield {
  readonly folder: string
  readonly socket: string
  readonly record: ShieldRecord
}

/**
 * The folder of one shield: its socket, and a record of what it is. The name comes from the mount point and the mount namespace. The shield locks the folder for as long as it
 * lives.
 */
export class ControlFolder {
  readonly path: string
  readonly #lock: number

  private constructor(path: string, lock: number) {
    this.path = path
    this.#lock = lock
  }

  get socket(): string {
    return socketIn(this.path)
  }

  /**
   * Takes the folder of a mount point, and removes what a shield has left there that was killed. `keeper`: what is to have a successor take it over.
   * Throws ProgramError; its status is `alreadyMounted` if a shield has the mount point.
   */
  static async claim(libc: Libc, mountpoint: string, keeper: ShieldKeeper): Promise<ControlFolder> {
    const path = folderOf(mountpoint)
    try {
      const folder = new ControlFolder(path, await lockOf(libc, path, mountpoint))
      const record: ShieldRecord = { version: 1, mountpoint, mountNamespace: mountNamespace(), pid: process.pid, keeper }
      // There is a record at all times: without one, a command would say that there is no shield.
      replaceFile(join(path, RECORD_FILE), `${JSON.stringify(record)}\n`)
      folder.#removeOthers()
      return folder
    } catch (error) {
      if (error instanceof ProgramError) throw error
      throw new ProgramError(
        `cannot use the folder ${path} for the shield's socket: ${messageOf(error)}; repair it`,
        STATUS.failed,
        {
          cause: error,
        },
      )
    }
  }

  /** Removes it. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
    closeSync(this.#lock)
  }

  /** Removes everything but the record. */
  #removeOthers(): void {
    for (const name of readdirSync(this.path))
      if (name !== RECORD_FILE) rmSync(join(this.path, name), { recursive: true, force: true })
  }
}

const RECORD_FILE = 'shield.json'

/** The shield of a mount point, an absolute path without symbolic links, in this mount namespace. It may have been killed. */
export function shieldAt(mountpoint: string): FoundShield | undefined {
  return found(folderOf(mountpoint))
}

/** What is in the folder of a shield by now; undefined if the folder is gone. */
export function lookAgain({ folder }: FoundShield): FoundShield | undefined {
  return found(folder)
}

/** All shields, also of other mount namespaces, and those that were killed. */
export function allShields(): readonly FoundShield[] {
  return folders()
    .flatMap((folder) => found(folder) ?? [])
    .toSorted((a, b) => (a.record.mountpoint < b.record.mountpoint ? -1 : 1))
}

/** The number of this process's mount namespace (namespaces(7)). */
export function mountNamespace(): string {
  return readlinkSync('/proc/self/ns/mnt').replace(/\D/g, '')
}

function folderOf(mountpoint: string): string {
  return join(ROOT, createHash('sha256').update(`${mountNamespace()} ${mountpoint}`).digest('hex').slice(0, 32))
}

function folders(): readonly string[] {
  try {
    return readdirSync(ROOT).map((name) => join(ROOT, name))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

function found(folder: string): FoundShield | undefined {
  try {
    const record = jsonOrUndefined(RECORD, readFileSync(join(folder, RECORD_FILE), 'utf8'))
    return record === undefined ? undefined : { folder, socket: socketIn(folder), record }
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

function socketIn(folder: string): string {
  return join(folder, 'control.sock')
}

/** Makes the folder if need be and locks it; returns the lock's descriptor. */
async function lockOf(libc: Libc, path: string, mountpoint: string): Promise<number> {
  const end = performance.now() + TURN
  for (;;) {
    makeDirectories(path, 0o700)
    const lock = tryLock(libc, path)
    if (lock !== undefined) return lock
    if (performance.now() > end || (await hasListener(socketIn(path)))) {
      const pid = found(path)?.record.pid
      const who = pid === undefined ? 'another process' : `process ${pid}`
      throw new ProgramError(
        `${mountpoint}: ${who} is the shield of this mount point; stop it first: dummy-fuse-csi shield stop ${mountpoint}`,
        STATUS.alreadyMounted,
      )
    }
    await sleep(LOOK)
  }
}

/** The descriptor that locks a folder; undefined if another process has it, or has removed it meanwhile. */
function tryLock(libc: Libc, path: string): number | undefined {
  let lock: number | undefined
  try {
    lock = lockFolder(libc, path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  if (lock === undefined) return undefined
  const there = statSync(path, { throwIfNoEntry: false })
  const { dev, ino } = fstatSync(lock)
  if (there?.dev === dev && there.ino === ino) return lock
  closeSync(lock)
  return undefined
}

/** Removes the folder of a shield that was killed, unless another one has it by now. Returns whether it is gone. Throws Node's error or SystemError. */
export function forgetKilled(libc: Libc, { folder }: FoundShield): boolean {
  const lock = tryLock(libc, folder)
  if (lock === undefined) return !existsSync(folder)
  rmSync(folder, { recursive: true, force: true })
  closeSync(lock)
  return true
}
