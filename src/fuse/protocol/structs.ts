import type { Writer } from './writer.ts'

/** struct fuse_attr. Times are seconds since 1970, fractions allowed; a bigint is nanoseconds, which a fraction cannot tell exactly. */
export interface Attributes {
  /** Becomes st_ino. */
  readonly nodeid: bigint
  /** Bytes. */
  readonly size: bigint | number
  /** 512-byte units. */
  readonly blocks: bigint | number
  readonly atime: number | bigint
  readonly mtime: number | bigint
  readonly ctime: number | bigint
  /** Type and permission bits. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly blksize: number
  /** From ATTR. */
  readonly flags: number
}

/** struct fuse_entry_out: a node under a name, and for how many seconds (fractions allowed) the kernel may go by both. */
export interface EntryOut {
  readonly nodeid: bigint
  readonly generation: bigint
  readonly entryValid: number
  readonly attrValid: number
  readonly attributes: Attributes
}

export function writeAttributes(writer: Writer, attributes: Attributes): void {
  const { atime, mtime, ctime } = attributes
  writer.u64(attributes.nodeid)
  writer.u64(attributes.size)
  writer.u64(attributes.blocks)
  writer.u64(wholeSeconds(atime))
  writer.u64(wholeSeconds(mtime))
  writer.u64(wholeSeconds(ctime))
  writer.u32(restOf(atime))
  writer.u32(restOf(mtime))
  writer.u32(restOf(ctime))
  writer.u32(attributes.mode)
  writer.u32(attributes.nlink)
  writer.u32(attributes.uid)
  writer.u32(attributes.gid)
  writer.u32(attributes.rdev)
  writer.u32(attributes.blksize)
  writer.u32(attributes.flags)
}

export function writeEntry(writer: Writer, entry: EntryOut): void {
  const entryValid = duration(entry.entryValid)
  const attrValid = duration(entry.attrValid)
  writer.u64(entry.nodeid)
  writer.u64(entry.generation)
  writer.u64(Math.floor(entryValid))
  writer.u64(Math.floor(attrValid))
  writer.u32(nanoseconds(entryValid))
  writer.u32(nanoseconds(attrValid))
  writeAttributes(writer, entry.attributes)
}

/** The beginning of struct fuse_attr_out and struct fuse_statx_out. */
export function writeValid(writer: Writer, seconds: number): void {
  const valid = duration(seconds)
  writer.u64(Math.floor(valid))
  writer.u32(nanoseconds(valid))
}

/** A time that has ended already is 0, and one without an end the longest there is. */
function duration(seconds: number): number {
  return Math.min(Math.max(seconds, 0), Number.MAX_SAFE_INTEGER)
}

const NANOSECONDS = 1_000_000_000n

/** The seconds of a time, rounded down. */
export function wholeSeconds(time: number | bigint): number {
  return typeof time === 'number' ? Math.floor(time) : Number((time - remainder(time)) / NANOSECONDS)
}

/** The nanoseconds of a time beyond {@link wholeSeconds}. */
export function restOf(time: number | bigint): number {
  return typeof time === 'number' ? nanoseconds(time) : Number(remainder(time))
}

/** Not below zero, also before 1970. */
function remainder(time: bigint): bigint {
  const rest = time % NANOSECONDS
  return rest < 0n ? rest + NANOSECONDS : rest
}

/** The fraction's nanoseconds, less than a second also where rounding would make it one. */
function nanoseconds(seconds: number): number {
  const fraction = seconds - Math.floor(seconds)
  return fraction === 0 ? 0 : Math.min(Math.round(fraction * 1e9), 999_999_999)
}
