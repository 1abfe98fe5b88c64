import { closeSync } from 'node:fs'
import { codeOf } from '../../errors.ts'
import { type Libc, MS } from '../libc.ts'
import { ALL_ATTRIBUTES } from './mount-flags.ts'
import { superBlockOf } from './super-block.ts'

/** x86-64 and arm64 share these numbers (include/uapi/asm-generic/unistd.h). */
const SYS = { openTree: 428, moveMount: 429, mountSetattr: 442 } as const

/** include/uapi/linux/mount.h and linux/fcntl.h. */
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE = { clone: 1, closeOnExec: 0o2000000 } as const
const MOVE_MOUNT = { fromDescriptor: 0x4, toDescriptor: 0x40, beneath: 0x200 } as const

/**
 * A bind that is not attached to a path yet (open_tree(2), Linux 5.2), so that it can be checked and its attributes set before it is visible. If it
 * is closed before it is attached, nothing is left.
 */
export class DetachedBind implements Disposable {
  /** `major:minor` of its super block. */
  readonly device: string
  readonly #libc: Libc
  readonly #fd: number

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc
    this.#fd = fd
    this.device = superBlockOf(libc, fd)
  }

  /** A bind of what an O_PATH descriptor shows. Undefined where the system call is missing (ENOSYS) or forbidden (EPERM of a seccomp filter). Throws SystemError. */
  static of(libc: Libc, source: number): DetachedBind | undefined {
    try {
      const flags = AT_EMPTY_PATH | OPEN_TREE.clone | OPEN_TREE.closeOnExec
      return new DetachedBind(
        libc,
        libc.checked('open_tree', undefined, 'long syscall(long, int, str, uint)', SYS.openTree, source, '', flags),
      )
    } catch (error) {
      if (['ENOSYS', 'EPERM'].includes(codeOf(error) ?? '')) return undefined
      throw error
    }
  }

  /** A path to its root while it is open. Mounts do not propagate to it (fs/pnode.c, propagate_one), and nothing is unmounted when it is closed. */
  get path(): string {
    return `/proc/self/fd/${this.#fd}`
  }

  /**
   * Sets its MOUNT_ATTR_* to exactly these, and takes it out of the peer group of its source: attached below a shared mount, it has a peer group of its
   * own, and what is mounted on it reaches no other bind of the source. Returns whether the kernel can (Linux 5.12). Throws SystemError.
   */
  setAttributes(attributes: number): boolean {
    return setAttributes(this.#libc, this.#fd, attributes, MS.PRIVATE)
  }

  /** Puts it on top of the directory that an O_PATH descriptor shows. Throws SystemError. */
  attach(target: number): void {
    this.#move(target, 0)
  }

  /**
   * Attaches it beneath the mount whose root is an O_PATH descriptor (Linux 6.5). When the upper mount is unmounted, this one is visible, and at no
   * moment the directory below both. Returns whether the kernel can do that there. Throws SystemError.
   */
  attachBeneath(target: number): boolean {
    try {
      this.#move(target, MOVE_MOUNT.beneath)
      return true
    } catch (error) {
      if (['EINVAL', 'ENOSYS', 'EPERM'].includes(codeOf(error) ?? '')) return false
      throw error
    }
  }

  /** Takes it off again, wherever it is. Throws SystemError. */
  detach(): void {
    this.#libc.umountDescriptor(this.#fd)
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #move(target: number, more: number): void {
    const definition = 'long syscall(long, int, str, int, str, uint)'
    const flags = MOVE_MOUNT.fromDescriptor | MOVE_MOUNT.toDescriptor | more
    this.#libc.checked('move_mount', undefined, definition, SYS.moveMount, this.#fd, '', target, '', flags)
  }
}

/**
 * mount_setattr(2): gives the mount that a descriptor shows the root of exactly these MOUNT_ATTR_*, in one step, also while it is in use. False before Linux
 * 5.12. `propagation`: MS_* that changes its propagation too; 0 keeps it. Throws SystemError: EBUSY for a mount that is to be read-only while files on it are open
 * for writing.
 */
export function setAttributes(libc: Libc, fd: number, attributes: number, propagation = 0): boolean {
  return mountSetattr(libc, fd, { set: attributes, clear: ALL_ATTRIBUTES, propagation })
}

/** Takes the mount that a descriptor shows the root of out of its peer group (mount_setattr(2), MS_PRIVATE). False before Linux 5.12. Throws SystemError. */
export function makePrivate(libc: Libc, fd: number): boolean {
  return mountSetattr(libc, fd, { set: 0, clear: 0, propagation: MS.PRIVATE })
}

interface MountAttr {
  readonly set: number
  readonly clear: number
  readonly propagation: number
}

function mountSetattr(libc: Libc, fd: number, { set, clear, propagation }: MountAttr): boolean {
  // struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
  const wanted = Buffer.alloc(32)
  wanted.writeBigUInt64LE(BigInt(set), 0)
  wanted.writeBigUInt64LE(BigInt(clear), 8)
  wanted.writeBigUInt64LE(BigInt(propagation), 16)
  try {
    const definition = 'long syscall(long, int, str, uint, void *, ulong)'
    libc.checked('mount_setattr', undefined, definition, SYS.mountSetattr, fd, '', AT_EMPTY_PATH, wanted, wanted.length)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOSYS') return false
    throw error
  }
}
