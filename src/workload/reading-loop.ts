import { closeSync, constants, openSync, readSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, errnoText } from '../errors.ts'
import type { Logger } from '../log.ts'

/**
 * Opens and reads one file for ever, as an application does, and logs what each round comes to. A round is one read to whoever
 * follows the log: it fails as `read error: read FILE: why`, also when it is open(2) that says so.
 */
export class ReadingLoop {
  readonly #file: string
  readonly #keepOpen: boolean
  readonly #log: Logger
  readonly #buffer = Buffer.alloc(4096)
  #fd: number | undefined

  constructor(file: string, keepOpen: boolean, log: Logger) {
    this.#file = file
    this.#keepOpen = keepOpen
    this.#log = log
  }

  /** Reads every `interval` milliseconds. Resolves, to 1, only when a round fails and `exitOnError` is set. */
  async run(interval: number, exitOnError: boolean): Promise<number> {
    for (;;) {
      if (!this.#round() && exitOnError) return 1
      await sleep(interval)
    }
  }

  #round(): boolean {
    try {
      const fd = this.#opened()
      this.#log.info('reading')
      this.#readAll(fd)
      return true
    } catch (error) {
      const code = codeOf(error)
      if (code === undefined) throw error
      if (this.#fd === undefined) this.#log.info('reading')
      this.#log.error(`read error: read ${this.#file}: ${errnoText(code)}`)
      return false
    } finally {
      if (!this.#keepOpen) this.#close()
    }
  }

  /**
   * Opens past the page cache, so that each read asks the file system: cached pages go on being served when the daemon is gone.
   * Some file systems refuse that at once.
   */
  #opened(): number {
    if (this.#fd !== undefined) return this.#fd
    try {
      this.#fd = openSync(this.#file, constants.O_RDONLY | constants.O_DIRECT)
    } catch (error) {
      if (codeOf(error) !== 'EINVAL') throw error
      this.#fd = openSync(this.#file, constants.O_RDONLY)
    }
    this.#log.info(`opened file ${this.#file}`)
    return this.#fd
  }

  #readAll(fd: number): void {
    try {
      this.#readToEnd(fd)
    } catch (error) {
      if (codeOf(error) !== 'EINVAL') throw error
      // A node's own disk refuses buffers that are not aligned. A buffered descriptor takes the place of this one.
      const buffered = openSync(this.#file, constants.O_RDONLY)
      this.#close()
      this.#fd = buffered
      this.#readToEnd(buffered)
    }
  }

  #readToEnd(fd: number): void {
    let offset = 0
    for (let count = -1; count !== 0; offset += count) count = readSync(fd, this.#buffer, 0, this.#buffer.length, offset)
  }

  #close(): void {
    if (this.#fd === undefined) return
    const fd = this.#fd
    this.#fd = undefined
    try {
      closeSync(fd)
    } catch (error) {
      // FUSE tells of its death at close too, and the descriptor is gone all the same (close(2)).
      if (codeOf(error) === undefined) throw error
    }
  }
}
