import { getSystemErrorName } from 'node:util'
import { INIT, OPCODE, PROTOCOL } from '../protocol/constants.ts'
import type { InitReply } from '../protocol/replies.ts'
import type { Request } from '../protocol/requests.ts'
import type { Writer } from '../protocol/writer.ts'

/** Where `error` and `unique` are in struct fuse_out_header (include/uapi/linux/fuse.h). */
const ERROR_AT = 4
const UNIQUE_AT = 8

/** A request as `-d` prints it, with the fields of libfuse's debug lines. */
export function requestLine({ op, header }: Request): string {
  const { unique, nodeid, length, pid } = header
  return `unique: ${unique}, opcode: ${op} (${OPCODE[op]}), nodeid: ${nodeid}, insize: ${length}, pid: ${pid}`
}

/** An encoded reply as `-d` prints it, with the fields of libfuse's debug lines. */
export function replyLine({ buffer, length }: Pick<Writer, 'buffer' | 'length'>): string {
  const error = buffer.readInt32LE(ERROR_AT)
  const outcome = error === 0 ? 'success' : `error: ${error} (${getSystemErrorName(error)})`
  return `   unique: ${buffer.readBigUInt64LE(UNIQUE_AT)}, ${outcome}, outsize: ${length}`
}

/** The answer to INIT as the log has it, with the names of struct fuse_init_out and its flags. */
export function initLine(reply: InitReply): string {
  const flags = Object.entries(INIT).flatMap(([name, bit]) => ((reply.flags & bit) === 0n ? [] : [name]))
  return [
    `INIT negotiated: protocol ${PROTOCOL.major}.${reply.minor}`,
    `flags ${flags.join('|')}`,
    `max_readahead ${reply.maxReadahead}`,
    `max_write ${reply.maxWrite}`,
    `max_pages ${reply.maxPages}`,
    `max_background ${reply.maxBackground}`,
    `congestion_threshold ${reply.congestionThreshold}`,
    `time_gran ${reply.timeGran}`,
  ].join(', ')
}
