import { lstatSync, unlinkSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { codeOf } from '../../errors.ts'

/** What is at a socket's path: the file of that socket, nothing, another file, or unknown (EACCES, EIO). */
export type SocketFileState = 'there' | 'gone' | 'replaced' | 'unknown'

/**
 * The file that bind(2) makes for a unix socket. Every user with write access to its folder can remove or replace it; the socket then stays open
 * without clients. While the socket is open, the inode of its file is not used again.
 */
export class SocketFile {
  readonly path: string
  readonly #dev: bigint | undefined
  readonly #ino: bigint | undefined

  /** `path`: where a socket has just been bound, or was bound by the process that passed it. Throws Node's error. */
  constructor(path: string) {
    this.path = path
    const made = lstatSync(path, { bigint: true, throwIfNoEntry: false })
    this.#dev = made?.dev
    this.#ino = made?.ino
  }

  /** What is at the path now. */
  async state(): Promise<SocketFileState> {
    try {
      const { dev, ino } = await lstat(this.path, { bigint: true })
      return dev === this.#dev && ino === this.#ino ? 'there' : 'replaced'
    } catch (error) {
      return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR' ? 'gone' : 'unknown'
    }
  }

  /** Removes the file, unless something else is at its path by now. Throws Node's error. */
  remove(): void {
    const there = lstatSync(this.path, { bigint: true, throwIfNoEntry: false })
    if (there === undefined || there.dev !== this.#dev || there.ino !== this.#ino) return
    try {
      unlinkSync(this.path)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
  }
}
