import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import { codeOf, SystemError } from '../../errors.ts'
import { type Libc, MS } from '../libc.ts'
import { attributesOfFlags } from './mount-flags.ts'
import { PinnedPaths } from './pinned-paths.ts'
import { superBlockOf } from './super-block.ts'

/** x86-64 and arm64 share these numbers (include/uapi/asm-generic/unistd.h). */
const SYS = { moveMount: 429, fsopen: 430, fsconfig: 431, fsmount: 432 } as const

/** include/uapi/linux/mount.h and linux/fcntl.h. */
const FSOPEN_CLOEXEC = 1
const FSCONFIG = { setFlag: 0, setString: 1, create: 6 } as const
const FSMOUNT_CLOEXEC = 1
/** MOVE_MOUNT_F_EMPTY_PATH and MOVE_MOUNT_T_EMPTY_PATH. */
const MOVE_MOUNT_FLAGS = 0x4 | 0x40
/** The flags of mount(2) that belong to a super block, by the option that fsconfig(2) knows them by. */
const SUPER_BLOCK_FLAGS: readonly (readonly [flag: number, option: string])[] = [
  [MS.RDONLY, 'ro'],
  [MS.SYNCHRONOUS, 'sync'],
  [MS.DIRSYNC, 'dirsync'],
  [MS.LAZYTIME, 'lazytime'],
]

/** What is to be mounted, as mount(2) takes it. */
export interface MountArguments {
  readonly source: string
  /** With its subtype: `fuse.dummy-fuse`. */
  readonly type: string
  /** MS_* */
  readonly flags: number
  /** `key` or `key=value`, separated by commas. */
  readonly data: string
}

/**
 * A mount that is not attached to a path yet (fsopen(2), fsmount(2), Linux 5.2). None of its calls waits for the file system's server, so one thread
 * can answer INIT first and attach the mount then. If it is closed before {@link attach}, nothing is left.
 */
export class DetachedMount {
  /** `major:minor` of its super block. */
  readonly device: string
  readonly #libc: Libc
  #fd: number | undefined

  private constructor(libc: Libc, fd: number, device: string) {
    this.#libc = libc
    this.#fd = fd
    this.device = device
  }

  /** Undefined where the system calls are missing (ENOSYS) or forbidden (EPERM of a seccomp filter). Throws SystemError. */
  static create(libc: Libc, wanted: MountArguments): DetachedMount | undefined {
    const { type, source, flags, data } = wanted
    const [, name = type, subtype] = /^([^.]*)(?:\.(.*))?$/s.exec(type) ?? []
    const context = openContext(libc, name)
    if (context === undefined) return undefined
    try {
      const configure = (command: number, key: string | null, value: string | null): void => {
        const definition = 'long syscall(long, int, uint, str, str, int)'
        libc.checked('fsconfig', key ?? type, definition, SYS.fsconfig, context, command, key, value, 0)
      }
      configure(FSCONFIG.setString, 'source', source)
      if (subtype !== undefined) configure(FSCONFIG.setString, 'subtype', subtype)
      for (const [flag, option] of SUPER_BLOCK_FLAGS) if ((flags & flag) !== 0) configure(FSCONFIG.setFlag, option, null)
      for (const option of data.split(',').filter((one) => one !== '')) {
        const [key = '', value] = option.split('=')
        configure(value === undefined ? FSCONFIG.setFlag : FSCONFIG.setString, key, value ?? null)
      }
      configure(FSCONFIG.create, null, null)
      const definition = 'long syscall(long, int, uint, uint)'
      const fd = libc.checked('fsmount', type, definition, SYS.fsmount, context, FSMOUNT_CLOEXEC, attributesOfFlags(flags))
      try {
        return new DetachedMount(libc, fd, superBlockOf(libc, fd))
      } catch (error) {
        closeSync(fd)
        throw error
      }
    } finally {
      closeSync(context)
    }
  }

  /** Puts it at an absolute path without symbolic links. Throws SystemError (ENOENT, ENOTDIR, ELOOP for a link); then it is nowhere. */
  attach(path: string): void {
    const definition = 'long syscall(long, int, str, int, str, uint)'
    const pinnedPaths = new PinnedPaths(this.#libc)
    const target = pinnedPaths.open(path)
    try {
      this.#libc.checked('move_mount', path, definition, SYS.moveMount, this.#fd, '', target, '', MOVE_MOUNT_FLAGS)
    } finally {
      closeSync(target)
    }
    // The directory may have been moved away since it was opened.
    if (this.#fd !== undefined && pinnedPaths.deviceAt(path) !== this.device) {
      this.#libc.umountDescriptor(this.#fd)
      throw new SystemError('move_mount', 'ELOOP', constants.errno.ELOOP, path)
    }
    this.close()
  }

  /** A path that leads to its root while it is neither attached nor closed, for this process alone. */
  get path(): string {
    return `/proc/self/fd/${this.#fd}`
  }

  /** Closes a mount that is not attached; its super block ends. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

function openContext(libc: Libc, type: string): number | undefined {
  try {
    return libc.checked('fsopen', type, 'long syscall(long, str, uint)', SYS.fsopen, type, FSOPEN_CLOEXEC)
  } catch (error) {
    if (['ENOSYS', 'EPERM'].includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}
