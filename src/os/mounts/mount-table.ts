import { lstatSync, realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { codeOf, SystemError } from '../../errors.ts'
import type { Callable, Libc } from '../libc.ts'
import { ALL_ATTRIBUTES, attributesOfOptions } from './mount-flags.ts'
import { type MountinfoLine, readMountinfo, topmostAt } from './mountinfo.ts'
import type { PinnedPaths } from './pinned-paths.ts'

/** The topmost mount at a path. */
export interface Mount {
  /** Unique among all mounts of this boot where the kernel tells (6.8), else reused after an unmount. */
  readonly id: string
  /** `major:minor` of the super block: two binds of one FUSE session share it, a new session has another. */
  readonly device: string
  /** With its subtype: `fuse.dummy-fuse`. */
  readonly fsType: string
  readonly source: string
  /** MOUNT_ATTR_* (mount-flags.ts). */
  readonly attributes: number
}

/** One of the mounts that lie on top of each other at a path. */
export interface Layer extends Mount {
  /** The id of its peer group (mount_namespaces(7)): what is mounted on it propagates to its peers and slaves. Undefined for a mount that is not shared. */
  readonly peerGroup: string | undefined
}

/** Whether a mount's type is a FUSE file system's, of whatever subtype. */
export function isFuse(fsType: string): boolean {
  return /^fuse(blk)?(\.|$)/.test(fsType)
}

/**
 * The device of a FUSE connection's mounts, whose number is the kernel's dev_t (include/linux/kdev_t.h). Super blocks of FUSE are anonymous, of major number 0; one of
 * fuseblk has its block device's.
 */
export function deviceOf(connection: number): string {
  return `${connection >>> 20}:${connection & 0xfffff}`
}

/** The connection of a mount with the device `device` ("MAJOR:MINOR"): {@link deviceOf} backwards. The mount is one of FUSE. */
export function connectionOfDevice(device: string): number {
  const [major = 0, minor = 0] = device.split(':').map(Number)
  return major * 2 ** 20 + minor
}

/** What is at a path, determined without asking the file system that may be mounted there. */
export type PathState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'plain'; readonly type: 'directory' | 'symlink' | 'other' }
  | { readonly kind: 'mount'; readonly mount: Mount }

/** Tells what is mounted where. Neither blocks on a hung mount nor fails on a dead one. */
export interface MountTable {
  /** The state of an absolute path. Throws SystemError for what is neither there nor absent (EACCES, ELOOP, ENAMETOOLONG). */
  at(path: string): PathState
  /** The mounts at an absolute path, the topmost first; none where nothing is mounted. Throws as {@link at} does. */
  layers(path: string): readonly Layer[]
}

/** The mount table by statx(2) and statmount(2), whose cost does not grow with the table; before Linux 6.8 by mountinfo. */
export function openMountTable(libc: Libc): MountTable {
  const table = new StatmountTable(libc)
  return table.supported() ? table : MountinfoTable.current()
}

/** A mount table of paths without a symbolic link: throws SystemError ELOOP where there is one above the last component. */
export class PinnedMountTable implements MountTable {
  readonly #table: MountTable
  readonly #pinnedPaths: PinnedPaths

  constructor(table: MountTable, pinnedPaths: PinnedPaths) {
    this.#table = table
    this.#pinnedPaths = pinnedPaths
  }

  at(path: string): PathState {
    return this.#within(path, (name) => this.#table.at(name)) ?? { kind: 'absent' }
  }

  layers(path: string): readonly Layer[] {
    return this.#within(path, (name) => this.#table.layers(name)) ?? []
  }

  /** Undefined for a path whose parent is absent. */
  #within<T>(path: string, ask: (name: string) => T): T | undefined {
    try {
      // mountinfo is looked through by a path's own name.
      return this.#pinnedPaths.within(path, (name) => ask(this.#table instanceof MountinfoTable ? path : name))
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
      throw error
    }
  }
}

/** The super block that is topmost at a path now, or none: to be compared with later. */
export function deviceAt(table: MountTable, path: string): string | undefined {
  const state = table.at(path)
  return state.kind === 'mount' ? state.mount.device : undefined
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800
const AT_STATX_DONT_SYNC = 0x4000
const STATX_TYPE = 0x1
const STATX_MNT_ID_UNIQUE = 0x4000
const STATX_ATTR_MOUNT_ROOT = 0x2000
const SYS_STATMOUNT = 457
const STATMOUNT_SB_BASIC = 0x1
const STATMOUNT_MNT_BASIC = 0x2
const STATMOUNT_MNT_POINT = 0x10
const STATMOUNT_FS_TYPE = 0x20
const STATMOUNT_FS_SUBTYPE = 0x100
const STATMOUNT_SB_SOURCE = 0x200
/** Where the strings of a struct statmount begin (include/uapi/linux/mount.h). */
const STRINGS = 512
/** MS_SHARED in mnt_propagation. */
const SHARED = 1 << 20

/** What statmount(2) tells of a mount. */
interface Found {
  readonly layer: Layer
  readonly parent: bigint
  /** The path of its root, as this process sees it; empty if it was not asked for. */
  readonly point: string
}

/** By system calls: include/uapi/linux/stat.h (struct statx) and include/uapi/linux/mount.h (struct statmount). */
export class StatmountTable implements MountTable {
  readonly #libc: Libc
  readonly #statx: Callable
  readonly #statmountCall: Callable
  /** What the kernel writes into, and is read out of at once: thousands of paths are asked for one after the other. */
  readonly #seen = Buffer.alloc(256)
  readonly #reply = Buffer.alloc(STRINGS + 8192)
  /** struct mnt_id_req: its size, the mount, and what is asked for. */
  readonly #request = Buffer.alloc(24)

  constructor(libc: Libc) {
    this.#libc = libc
    this.#statx = libc.foreign('int statx(int, str, int, uint, void *)')
    this.#statmountCall = libc.foreign('long syscall(long, void *, void *, ulong, ulong)')
    this.#request.writeUInt32LE(this.#request.length, 0)
  }

  /** Whether this kernel answers in full: statmount(2) came in 6.8, its subtype and source in 6.13. */
  supported(): boolean {
    try {
      const state = this.at('/proc')
      return state.kind === 'mount' && state.mount.source !== ''
    } catch (error) {
      if (error instanceof SystemError) return false
      throw error
    }
  }

  at(path: string): PathState {
    const top = this.#rootAt(path)
    if (typeof top !== 'bigint') return top
    const found = this.#statmount(top)
    return found === undefined ? this.at(path) : { kind: 'mount', mount: found.layer }
  }

  layers(path: string): readonly Layer[] {
    const top = this.#rootAt(path)
    if (typeof top !== 'bigint') return []
    const layers: Layer[] = []
    const first = this.#statmount(top, STATMOUNT_MNT_POINT)
    if (first === undefined) return this.layers(path)
    for (let found: Found | undefined = first; found?.point === first.point;) {
      layers.push(found.layer)
      // The parent of the root of a namespace is itself, or is not told.
      found = String(found.parent) === found.layer.id ? undefined : this.#statmount(found.parent, STATMOUNT_MNT_POINT)
    }
    return layers
  }

  /** The id of the mount whose root a path is, or what else it is. */
  #rootAt(path: string): bigint | Exclude<PathState, { kind: 'mount' }> {
    const seen = this.#seen
    const flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW
    if (Number(this.#statx(AT_FDCWD, path, flags, STATX_TYPE | STATX_MNT_ID_UNIQUE, seen)) < 0) {
      const errno = this.#libc.errno()
      if (errno === constants.errno.ENOENT || errno === constants.errno.ENOTDIR) return { kind: 'absent' }
      throw this.#libc.lastError('statx', path)
    }
    if ((seen.readUInt32LE(8) & STATX_ATTR_MOUNT_ROOT) === 0) return { kind: 'plain', type: typeOf(seen.readUInt16LE(28)) }
    return seen.readBigUInt64LE(144)
  }

  /** Undefined for a mount that is gone, or is not in this namespace. `more`: STATMOUNT_* that are asked for too. */
  #statmount(id: bigint, more = 0): Found | undefined {
    const [request, reply] = [this.#request, this.#reply]
    const wanted = STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC | STATMOUNT_FS_TYPE | STATMOUNT_FS_SUBTYPE | STATMOUNT_SB_SOURCE
    request.writeBigUInt64LE(id, 8)
    request.writeUInt32LE(wanted | more, 16)
    if (Number(this.#statmountCall(SYS_STATMOUNT, request, reply, reply.length, 0)) < 0) {
      // It was unmounted between the two calls.
      if (this.#libc.errno() === constants.errno.ENOENT) return undefined
      throw this.#libc.lastError('statmount')
    }
    const had = reply.readUInt32LE(8)
    const string = (bit: number, at: number): string => ((had & bit) === 0 ? '' : cString(reply, STRINGS + reply.readUInt32LE(at)))
    const type = string(STATMOUNT_FS_TYPE, 36)
    const subtype = string(STATMOUNT_FS_SUBTYPE, 120)
    const isShared = (reply.readUInt32LE(72) & SHARED) !== 0
    const layer = {
      id: String(id),
      device: `${reply.readUInt32LE(16)}:${reply.readUInt32LE(20)}`,
      fsType: subtype === '' ? type : `${type}.${subtype}`,
      source: string(STATMOUNT_SB_SOURCE, 124),
      attributes: reply.readUInt32LE(64) & ALL_ATTRIBUTES,
      peerGroup: isShared ? String(reply.readBigUInt64LE(80)) : undefined,
    }
    return { layer, parent: reply.readBigUInt64LE(48), point: string(STATMOUNT_MNT_POINT, 108) }
  }
}

/** By /proc/self/mountinfo: for kernels before 6.13, and for programs that would load an addon for nothing else. */
export class MountinfoTable implements MountTable {
  readonly #lines: () => readonly MountinfoLine[]

  private constructor(lines: () => readonly MountinfoLine[]) {
    this.#lines = lines
  }

  /** The table as it is whenever it is asked. */
  static current(): MountinfoTable {
    return new MountinfoTable(readMountinfo)
  }

  /** The table as it is now, read once: for many questions at one moment. */
  static snapshot(): MountinfoTable {
    const lines = readMountinfo()
    return new MountinfoTable(() => lines)
  }

  at(path: string): PathState {
    const real = resolveParent(path)
    if (real === undefined) return { kind: 'absent' }
    const line = topmostAt(this.#lines(), real)
    return line === undefined ? plainState(real) : { kind: 'mount', mount: layerOf(line) }
  }

  layers(path: string): readonly Layer[] {
    const real = resolveParent(path)
    if (real === undefined) return []
    const lines = this.#lines()
    const layers: Layer[] = []
    for (let line = topmostAt(lines, real); line?.mountPoint === real;) {
      layers.push(layerOf(line))
      const { id, parentId }: MountinfoLine = line
      line = id === parentId ? undefined : lines.find((one) => one.id === parentId)
    }
    return layers
  }
}

function layerOf({ id, device, fsType, source, options, propagation }: MountinfoLine): Layer {
  const peerGroup = propagation.find((tag) => tag.startsWith('shared:'))?.slice('shared:'.length)
  return { id: String(id), device, fsType, source, attributes: attributesOfOptions(options), peerGroup }
}

/** Follows the links of all but the last component: the last may be a mount that must not be asked anything. */
function resolveParent(path: string): string | undefined {
  if (path === '/') return path
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

function plainState(path: string): PathState {
  try {
    return { kind: 'plain', type: typeOf(lstatSync(path).mode) }
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return { kind: 'absent' }
    throw error
  }
}

function typeOf(mode: number): 'directory' | 'symlink' | 'other' {
  const format = mode & 0o170000
  if (format === 0o040000) return 'directory'
  return format === 0o120000 ? 'symlink' : 'other'
}

function cString(buffer: Buffer, start: number): string {
  const end = buffer.indexOf(0, start)
  return buffer.toString('utf8', start, end < 0 ? buffer.length : end)
}
