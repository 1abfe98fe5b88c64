import { INIT } from '../fuse/protocol/constants.ts'
import { IN, OUT } from './messages.ts'

/** struct fuse_init_in and fuse_init_out, in bytes from the message's start. */
const INIT_IN = { flags: IN.body + 12, flags2: IN.body + 16 } as const
const INIT_OUT = {
  minor: OUT.body + 4,
  flags: OUT.body + 12,
  maxWrite: OUT.body + 20,
  timeGran: OUT.body + 24,
  maxPages: OUT.body + 28,
  flags2: OUT.body + 32,
  maxStackDepth: OUT.body + 36,
  requestTimeout: OUT.body + 40,
} as const

/** Bytes of the largest message: larger ones need more memory in one piece than a busy machine has. */
const MAX_WRITE = 128 * 1024
const MAX_PAGES = 32

/**
 * What daemons are not offered. The first group gives the kernel something of the daemon's that does not outlive it. Locks stay in the kernel. The last two would
 * pass by the relay, or have the kernel end the connection while no daemon serves.
 */
const NOT_OFFERED =
  INIT.EXPORT_SUPPORT |
  INIT.MAP_ALIGNMENT |
  INIT.SUBMOUNTS |
  INIT.HAS_INODE_DAX |
  INIT.PASSTHROUGH |
  INIT.HAS_RESEND |
  INIT.POSIX_LOCKS |
  INIT.FLOCK_LOCKS |
  INIT.OVER_IO_URING |
  INIT.REQUEST_TIMEOUT

/** What the kernel is not told: it would ask for nodes in listings, which are served from snapshots. */
const NOT_TAKEN = INIT.DO_READDIRPLUS | INIT.READDIRPLUS_AUTO

/** Whether the kernel that sends this INIT sends requests again that were read and not answered (FUSE_NOTIFY_RESEND, Linux 6.9). */
export function resends(request: Buffer): boolean {
  return request.length >= INIT_IN.flags2 + 4 && (request.readUInt32LE(INIT_IN.flags2) & Number(INIT.HAS_RESEND >> 32n)) !== 0
}

/** Changes the kernel's INIT into the one that every daemon gets. */
export function offer(request: Buffer): void {
  clearFlags(request, INIT_IN.flags, NOT_OFFERED)
  if (request.length >= INIT_IN.flags2 + 4) clearFlags(request, INIT_IN.flags2, NOT_OFFERED >> 32n)
}

/** Changes a daemon's answer to INIT into the one that the kernel gets. Fields that an older daemon's answer lacks are left out for the kernel too. */
export function settle(reply: Buffer): void {
  clearFlags(reply, INIT_OUT.flags, NOT_OFFERED | NOT_TAKEN)
  const has = (offset: number): boolean => reply.length >= offset + 4
  if (has(INIT_OUT.maxWrite)) reply.writeUInt32LE(Math.min(reply.readUInt32LE(INIT_OUT.maxWrite), MAX_WRITE), INIT_OUT.maxWrite)
  if (has(INIT_OUT.maxPages)) reply.writeUInt16LE(Math.min(reply.readUInt16LE(INIT_OUT.maxPages), MAX_PAGES), INIT_OUT.maxPages)
  if (has(INIT_OUT.flags2)) clearFlags(reply, INIT_OUT.flags2, (NOT_OFFERED | NOT_TAKEN) >> 32n)
  if (has(INIT_OUT.maxStackDepth)) reply.writeUInt32LE(0, INIT_OUT.maxStackDepth)
  if (reply.length >= INIT_OUT.requestTimeout + 2) reply.writeUInt16LE(0, INIT_OUT.requestTimeout)
}

/** What the kernel goes by for as long as the mount lives, of a settled answer: another daemon that agrees on something else cannot take over. */
export function agreementOf(reply: Buffer): string {
  const field = (offset: number): number => (reply.length >= offset + 4 ? reply.readUInt32LE(offset) : 0)
  const { minor, flags, flags2, maxWrite, timeGran } = INIT_OUT
  const parts = { minor, flags, flags2, max_write: maxWrite, time_gran: timeGran }
  return Object.entries(parts)
    .map(([name, offset]) => `${name} ${field(offset)}`)
    .join(', ')
}

function clearFlags(message: Buffer, offset: number, flags: bigint): void {
  message.writeUInt32LE((message.readUInt32LE(offset) & ~Number(flags & 0xffffffffn)) >>> 0, offset)
}
