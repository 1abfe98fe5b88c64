import { existsSync, readdirSync, readFileSync, rmdirSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import { type Libc, MNT_DETACH, MS } from '../../os/libc.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import type { MountTable } from '../../os/mounts/mount-table.ts'

/** TMPFS_MAGIC (include/uapi/linux/magic.h). */
const TMPFS_MAGIC = 0x01021994

/** Bytes of the file system in memory: secrets, and what programs say. */
const SIZE = '64m'

/** The source of the tmpfs in the mount table. */
const SOURCE = 'dummy-fuse-csi-secrets'

/** The name of the file that a program's output goes to. */
const OUTPUT = 'output'

/** What is kept of one volume. */
export interface PrivatePlace {
  /** The path of the private file of a name. */
  readonly file: (kind: 'secret' | 'file', name: string) => string
  readonly output: string
}

/**
 * Private files of volumes (mode 0600) in a folder of root's own in memory (tmpfs): secrets, and the output of programs, which may show them. No secret is on a
 * disk, and a reboot removes all.
 */
export class PrivateFolder {
  readonly #path: string
  readonly #table: MountTable
  readonly #libc: Libc
  readonly #log: Logger

  /** `path`: a folder on a tmpfs, or one that a tmpfs is mounted on when it is used first, and unmounted from when it is empty again. */
  constructor(path: string, table: MountTable, libc: Libc, log: Logger) {
    this.#path = path
    this.#table = table
    this.#libc = libc
    this.#log = log
  }

  /** The place of a key, which need not exist. */
  of(key: string): PrivatePlace {
    const folder = join(this.#path, key)
    return { file: (kind, name) => join(folder, `${kind}-${name}`), output: join(folder, OUTPUT) }
  }

  /** Makes the place of a key. Throws SystemError or Node's error. */
  make(key: string): PrivatePlace {
    makeDirectories(this.#path, 0o700)
    if (!this.#isInMemory()) this.#mount()
    makeDirectories(join(this.#path, key), 0o700)
    return this.of(key)
  }

  /** Writes a file of a place, which {@link make} has made. Throws Node's error. */
  write(path: string, text: string): void {
    remove(path)
    writeFileSync(path, text, { mode: 0o600, flag: 'wx' })
  }

  /** The text of a file of a place; undefined if it is missing. */
  read(path: string): string | undefined {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  }

  /** Removes the files of a place but for the output. Never throws. */
  removeSecrets(key: string): void {
    this.#removeFiles(key, (name) => name !== OUTPUT)
  }

  /** Removes a place with its files, and unmounts the tmpfs if it is empty then. Never throws. */
  remove(key: string): void {
    this.#removeFiles(key, () => true)
    try {
      const folder = join(this.#path, key)
      if (existsSync(folder)) rmdirSync(folder)
      if (this.#isOwnMount() && readdirSync(this.#path).length === 0) this.#libc.umount(this.#path, MNT_DETACH)
    } catch (error) {
      this.#log.warning(`cannot remove the private files in ${this.#path}: ${messageOf(error)}`)
    }
  }

  #removeFiles(key: string, isWanted: (name: string) => boolean): void {
    const folder = join(this.#path, key)
    try {
      for (const name of readdirSync(folder).filter(isWanted)) remove(join(folder, name))
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#log.warning(`cannot remove the private files in ${folder}: ${messageOf(error)}`)
    }
  }

  #isInMemory(): boolean {
    return statfsSync(this.#path).type === TMPFS_MAGIC
  }

  /** Whether {@link make} has mounted the tmpfs: another one is left as it is. */
  #isOwnMount(): boolean {
    const state = this.#table.at(this.#path)
    return state.kind === 'mount' && state.mount.source === SOURCE
  }

  #mount(): void {
    const flags = MS.NOSUID | MS.NODEV | MS.NOEXEC
    const mount = (more: string): void => {
      this.#libc.mount(SOURCE, this.#path, 'tmpfs', flags, `mode=0700,size=${SIZE}${more}`)
    }
    try {
      // Linux 6.4: secrets are not swapped to a disk.
      mount(',noswap')
    } catch (error) {
      if (codeOf(error) !== 'EINVAL') throw error
      mount('')
    }
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}
