import { OPCODE } from '../protocol/constants.ts'
import type { Request } from '../protocol/requests.ts'

/** A request as `-d` prints it, in the words of libfuse's own debug lines. */
export function traceLine({ op, header }: Request): string {
  const { unique, nodeid, length, pid } = header
  return `unique: ${unique}, opcode: ${op} (${OPCODE[op]}), nodeid: ${nodeid}, insize: ${length}, pid: ${pid}`
}
