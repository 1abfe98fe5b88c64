import { lstatSync, readFileSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, isAbsolute, posix } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf, ProgramError, UsageError } from '../../errors.ts'
import { makeDirectories } from '../mounts/directories.ts'

/** Bytes of a unix socket's path that fit a struct sockaddr_un with its NUL (unix(7)). */
export const LONGEST_SOCKET_PATH = 107

/** Milliseconds that a process may take from bind(2) to listen(2), and between two looks. */
const BOUND = 1000
const LOOK = 5

/** The path in an endpoint such as `unix:///run/x.sock`, `unix:/run/x.sock` or `/run/x.sock`. Throws UsageError. */
export function socketPath(endpoint: string): string {
  const path = endpoint.replace(/^unix:(\/\/)?/, '')
  if (/^[a-z]+:/.test(path))
    throw new UsageError(`endpoint '${endpoint}' is not a unix socket; name one, such as unix:///run/dummy-fuse-csi/csi.sock`)
  if (!isAbsolute(path))
    throw new UsageError(`endpoint '${endpoint}' is not an absolute path; name one, such as unix:///run/dummy-fuse-csi/csi.sock`)
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH)
    throw new UsageError(`endpoint '${endpoint}' is longer than the ${LONGEST_SOCKET_PATH} bytes a socket's path may have`)
  return posix.normalize(path)
}

/**
 * Prepares the path of a socket: makes its folder (0750) if it is missing, and removes a socket without a listener. Throws ProgramError, status 1, if
 * a process listens there, or if the path is another file. `instead`: what the user can do other than free the path; a part of the error.
 */
export async function claimSocket(path: string, instead = 'name another endpoint'): Promise<void> {
  try {
    makeDirectories(dirname(path), 0o750)
    const there = lstatSync(path, { throwIfNoEntry: false })
    if (there === undefined) return
    if (!there.isSocket()) throw new ProgramError(`${path} exists and is no socket; remove it, or ${instead}`, 1)
    if (await willListen(path)) throw new ProgramError(`another process listens on ${path}; stop it, or ${instead}`, 1)
    unlinkSync(path)
  } catch (error) {
    if (error instanceof ProgramError) throw error
    throw new ProgramError(`cannot make the socket ${path}: ${messageOf(error)}; repair its folder, or ${instead}`, 1, {
      cause: error,
    })
  }
}

/** Whether a process listens on a unix socket, or is about to: it has bound the socket, and connect(2) is refused as for a dead one. Rejects as {@link hasListener} does. */
export async function willListen(path: string): Promise<boolean> {
  const end = performance.now() + BOUND
  for (;;) {
    // Asked before the connect(2): it may begin to listen in between.
    const maySoon = isBound(path)
    if (await hasListener(path)) return true
    if (!maySoon || performance.now() > end) return false
    await sleep(LOOK)
  }
}

/** Whether a path has a stream socket of this network namespace that neither listens nor is connected (/proc/net/unix; net/unix/af_unix.c, unix_seq_show). */
function isBound(path: string): boolean {
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((line) => line.endsWith(` ${path}`) && /^\S+ \S+ \S+ 00000000 0001 01 /.test(line))
}

/** Whether a process listens on a unix socket. Rejects with Node's error where that cannot be determined (EACCES). */
export async function hasListener(path: string): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error) => {
      // A full backlog (EAGAIN) is a listener too.
      if (codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOENT') resolve(false)
      else if (codeOf(error) === 'EAGAIN') resolve(true)
      else reject(error)
    })
  })
}
