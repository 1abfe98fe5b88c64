import { lstatSync, unlinkSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { codeOf } from '../../errors.ts'

/** What a socket's path leads to: the file of that socket, nothing, something else, or what cannot be told now (EACCES, EIO). */
export type SocketFileState = 'there' | 'gone' | 'replaced' | 'unknown'

/**
 * The file that bind(2) makes of a unix socket. Anybody who may write its folder can remove it or put another in its place, while the socket lives on without
 * clients. As long as the socket is open its file's inode is not used again.
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
