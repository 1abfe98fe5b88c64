import { join } from 'node:path'

/** The file that a daemon leaves in its state folder when it has answered all that it had read. */
export function drainedFile(stateDir: string): string {
  return join(stateDir, 'drained')
}
