import { constants } from 'node:os'
import { SystemError } from '../../errors.ts'
import type { Libc } from '../libc.ts'

/** socket(2). */
export const AF_UNIX = 1

/** Bytes of a struct sockaddr_un. */
const ADDRESS_SIZE = 110

const SOL_SOCKET = 1
const SO_ACCEPTCONN = 30

/**
 * The name of a listening unix socket from getsockname(2): a path, or an abstract name with a leading `@`. Undefined for any other descriptor: a
 * socket of another family, a socket that does not listen (SO_ACCEPTCONN), a socket without a name.
 */
export function listeningName(libc: Libc, fd: number): string | undefined {
  const accepts = Buffer.alloc(4)
  const four = Buffer.from([4, 0, 0, 0])
  const getsockopt = libc.foreign('int getsockopt(int, int, int, void *, void *)')
  if (Number(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, accepts, four)) < 0 || accepts.readInt32LE() === 0) return undefined
  const address = Buffer.alloc(ADDRESS_SIZE)
  const size = Buffer.from([ADDRESS_SIZE, 0, 0, 0])
  if (Number(libc.foreign('int getsockname(int, void *, void *)')(fd, address, size)) < 0) return undefined
  if (address.readUInt16LE() !== AF_UNIX) return undefined
  const name = address.subarray(2, size.readUInt32LE())
  if (name.length === 0) return undefined
  if (name[0] === 0) return `@${name.subarray(1).toString()}`
  const end = name.indexOf(0)
  return name.subarray(0, end < 0 ? undefined : end).toString()
}

/** struct sockaddr_un: a 16-bit family and the path, which a NUL begins when it is abstract and ends otherwise. */
export function unixAddress(path: string): Buffer {
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  const bytes = Buffer.from(name)
  if (bytes.length > 108) throw new SystemError('connect', 'ENAMETOOLONG', constants.errno.ENAMETOOLONG, path)
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX)
  return Buffer.concat([family, bytes])
}
