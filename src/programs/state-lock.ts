import { statSync } from 'node:fs'
import { createServer } from 'node:net'
import { codeOf, ProgramError } from '../errors.ts'

/**
 * Keeps a second process off a state folder: two would mount everything twice. An abstract socket (unix(7)) named after the folder's
 * inode is taken by one process at a time, and given back by the kernel however that process ends. `program`: what it is called in the message; `part`: of the
 * folder, where several programs use it. Throws ProgramError, status 1.
 */
export async function lockState(folder: string, program: string, part = 'state'): Promise<void> {
  const { dev, ino } = statSync(folder)
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const taken = new ProgramError(
        `another ${program} uses the state folder ${folder}; stop it, or name another with --state-dir`,
        1,
      )
      reject(codeOf(error) === 'EADDRINUSE' ? taken : error)
    })
    server.listen(`\0dummy-fuse-csi/${part}/${dev}:${ino}`, resolve)
  })
  server.unref()
}
