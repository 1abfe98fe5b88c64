import { OUT_HEADER_SIZE } from './constants.ts'
import { type EntryOut, writeEntry } from './structs.ts'
import type { Writer } from './writer.ts'

/** struct fuse_dirent. */
export interface Dirent {
  /** Becomes d_ino; not 0, which readers skip. */
  readonly nodeid: bigint
  /** Where the next READDIR goes on after this entry; not 0, which is the beginning. */
  readonly offset: bigint
  /** DT_… of readdir(3): the mode's type bits, `mode >>> 12`. */
  readonly type: number
  readonly name: string
}

/** struct fuse_direntplus; the attributes' nodeid becomes d_ino. */
export type DirentPlus = EntryOut & Omit<Dirent, 'nodeid'>

const DIRENT_SIZE = 24
const ENTRY_SIZE = 128

/** Begins the reply to READDIR or READDIRPLUS; entries follow, then `endDirectory`. */
export function beginDirectory(writer: Writer, unique: bigint): void {
  writer.reset()
  writer.u32(OUT_HEADER_SIZE)
  writer.i32(0)
  writer.u64(unique)
}

/** Adds an entry; false, with nothing written, if all entries would then have more than `limit` bytes: the request's `size`. */
export function addEntry(writer: Writer, dirent: Dirent, limit: number): boolean {
  const nameSize = Buffer.byteLength(dirent.name)
  if (!hasRoom(writer, DIRENT_SIZE + nameSize, limit)) return false
  writeDirent(writer, dirent.nodeid, dirent, nameSize)
  return true
}

/**
 * The same for READDIRPLUS. The kernel counts a lookup for each entry, which FORGET subtracts, but none for `.` and `..` and for an entry whose
 * nodeid is 0.
 */
export function addEntryPlus(writer: Writer, entry: DirentPlus, limit: number): boolean {
  const nameSize = Buffer.byteLength(entry.name)
  if (!hasRoom(writer, ENTRY_SIZE + DIRENT_SIZE + nameSize, limit)) return false
  writeEntry(writer, entry)
  writeDirent(writer, entry.attributes.nodeid, entry, nameSize)
  return true
}

/** Completes the reply. Without entries it says that there are no more. */
export function endDirectory(writer: Writer): void {
  writer.patchU32(0, writer.length)
}

function hasRoom(writer: Writer, size: number, limit: number): boolean {
  const aligned = (size + 7) & ~7
  return writer.length - OUT_HEADER_SIZE + aligned <= limit && writer.length + aligned <= writer.buffer.length
}

function writeDirent(writer: Writer, ino: bigint, dirent: Omit<Dirent, 'nodeid'>, nameSize: number): void {
  writer.u64(ino)
  writer.u64(dirent.offset)
  writer.u32(nameSize)
  writer.u32(dirent.type)
  writer.text(dirent.name, nameSize)
  writer.align8()
}
