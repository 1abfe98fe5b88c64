import { type Attributes, restOf, wholeSeconds } from './structs.ts'
import type { Writer } from './writer.ts'

/** struct fuse_statx, which is that of statx(2). */
export interface Statx extends Attributes {
  /** When the node was made, as the other times. */
  readonly btime: number
  /** STATX_…: which of the fields mean something. */
  readonly mask: number
}

export function writeStatx(writer: Writer, statx: Statx): void {
  const { rdev } = statx
  writer.u32(statx.mask)
  writer.u32(statx.blksize)
  writer.u64(0)
  writer.u32(statx.nlink)
  writer.u32(statx.uid)
  writer.u32(statx.gid)
  writer.u16(statx.mode)
  writer.u16(0)
  writer.u64(statx.nodeid)
  writer.u64(statx.size)
  writer.u64(statx.blocks)
  writer.u64(0)
  writeTime(writer, statx.atime)
  writeTime(writer, statx.btime)
  writeTime(writer, statx.ctime)
  writeTime(writer, statx.mtime)
  // As the kernel packs them: include/linux/kdev_t.h, new_encode_dev.
  writer.u32((rdev >>> 8) & 0xfff)
  writer.u32((rdev & 0xff) | ((rdev >>> 12) & 0xfff00))
  writer.zero(120)
}

/** struct fuse_sx_time. */
function writeTime(writer: Writer, time: number | bigint): void {
  writer.u64(wholeSeconds(time))
  writer.u32(restOf(time))
  writer.u32(0)
}
