import { closeSync, constants, openSync, readSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, errnoText } from '../errors.ts'
import type { Logger } from '../log.ts'

/** Opens and reads one file for ever, as an application does, and logs what each round comes to. */
export class ReadingLoop {
  readonly #file: string
  readonly #keepOpen: boolean
  readonly #log: Logger
  readonly #buffer = Buffer.alloc(4096)
  /**
   * Past the page cache, so that each read asks the file system: cached pages go on being served when the daemon is gone. Given up
   * for a file on a file system that refuses it, as a node's own disk does to buffers that are not aligned.
   */
  #direct = constants.O_DIRECT
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
    return this.#open() && this.#read()
  }

  #open(): boolean {
    if (this.#fd !== undefined) return true
    try {
      this.#fd = openSync(this.#file, constants.O_RDONLY | this.#direct)
    } catch (error) {
      if (this.#refusesDirect(error)) return this.#open()
      this.#failed('open', error)
      return false
    }
    this.#log.info(`opened file ${this.#file}`)
    return true
  }

  #read(): boolean {
    const fd = this.#fd
    if (fd === undefined) return false
    this.#log.info('reading')
    try {
      let offset = 0
      for (let count = -1; count !== 0; offset += count) count = readSync(fd, this.#buffer, 0, this.#buffer.length, offset)
      return true
    } catch (error) {
      if (this.#refusesDirect(error)) {
        this.#close()
        this.#fd = openSync(this.#file, constants.O_RDONLY)
        return this.#read()
      }
      this.#failed('read', error)
      return false
    } finally {
      if (!this.#keepOpen) this.#close()
    }
  }

  #refusesDirect(error: unknown): boolean {
    if (codeOf(error) !== 'EINVAL' || this.#direct === 0) return false
    this.#direct = 0
    return true
  }

  #failed(call: string, error: unknown): void {
    const code = codeOf(error)
    if (code === undefined) throw error
    this.#log.error(`${call} error: ${call} ${this.#file}: ${errnoText(code)}`)
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
