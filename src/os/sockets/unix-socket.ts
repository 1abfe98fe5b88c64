import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, isAbsolute, posix } from 'node:path'
import { codeOf, messageOf, ProgramError, UsageError } from '../../errors.ts'
import { makeDirectories } from '../mounts/directories.ts'

/** Bytes of a unix socket's path that fit a struct sockaddr_un with its NUL (unix(7)). */
export const LONGEST_SOCKET_PATH = 107

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
    if (await hasListener(path)) throw new ProgramError(`another process listens on ${path}; stop it, or ${instead}`, 1)
    unlinkSync(path)
  } catch (error) {
    if (error instanceof ProgramError) throw error
    throw new ProgramError(`cannot make the socket ${path}: ${messageOf(error)}; repair its folder, or ${instead}`, 1, {
      cause: error,
    })
  }
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
