import { closeSync, readSync } from 'node:fs'
import { wake } from './eventfd.ts'
import type { Libc } from '../libc.ts'

const POLLIN = 1

/** Calls back when descriptors become readable that Node knows nothing of. One poll(2) waits for all, in a thread of libuv's pool. */
export class DescriptorWatch {
  readonly #libc: Libc
  readonly #wake: number
  readonly #handlers = new Map<number, () => void>()
  #toClose: number[] = []
  #ended = false

  constructor(libc: Libc) {
    this.#libc = libc
    this.#wake = libc.eventfd()
  }

  /** Calls `readable` as long as there is something to read. It must not throw. */
  add(fd: number, readable: () => void): void {
    this.#handlers.set(fd, readable)
    wake(this.#wake)
  }

  /** Watches a descriptor no more and closes it, once no poll(2) waits for it: its number is not to come again before. */
  closeWatched(fd: number): void {
    this.#handlers.delete(fd)
    this.#toClose.push(fd)
    wake(this.#wake)
  }

  /** Runs until {@link end}. */
  async run(): Promise<void> {
    while (!this.#ended) {
      const watched = [...this.#handlers]
      const fds = [this.#wake, ...watched.map(([fd]) => fd)]
      const [woken = 0, ...found] = await this.#libc.pollAsync(fds.map((fd) => ({ fd, events: POLLIN })))
      if (woken !== 0) readSync(this.#wake, Buffer.alloc(8))
      for (const fd of this.#toClose.splice(0)) closeSync(fd)
      watched.forEach(([fd, readable], index) => {
        if (found[index] !== 0 && this.#handlers.get(fd) === readable) readable()
      })
    }
    for (const fd of this.#toClose.splice(0)) closeSync(fd)
    closeSync(this.#wake)
  }

  end(): void {
    this.#ended = true
    wake(this.#wake)
  }
}
