import { constants } from 'node:os'
import { SystemError } from '../errors.ts'

/** socket(2). */
export const AF_UNIX = 1

/** struct sockaddr_un: a 16-bit family and the path, which a NUL begins when it is abstract and ends otherwise. */
export function unixAddress(path: string): Buffer {
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  const bytes = Buffer.from(name)
  if (bytes.length > 108) throw new SystemError('connect', 'ENAMETOOLONG', constants.errno.ENAMETOOLONG, path)
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX)
  return Buffer.concat([family, bytes])
}
