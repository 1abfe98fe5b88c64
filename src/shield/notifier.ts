import type { Libc } from '../os/libc.ts'
import { settledWithin } from '../os/processes/settled-within.ts'

interface Sequence {
  readonly messages: Iterator<Buffer, unknown>
  readonly written: (() => void) | undefined
}

/**
 * Writes notifications to the device one after another, in libuv's pool. What the kernel does not take is lost, as it would be without a relay. Each sequence is asked for its
 * next when the one before has been written.
 *
 * The kernel has a notification wait, where no signal ends it, for a read or write of the same file that the daemon has not answered.
 */
export class Notifier {
  readonly #device: () => number | undefined
  readonly #write: ReturnType<Libc['foreign']>
  readonly #waiting: Sequence[] = []
  #over = false
  /** Resolves when no notification is with the kernel; undefined: none is. */
  #idle: PromiseWithResolvers<undefined> | undefined

  /** `device`: the descriptor of the kernel's connection; undefined while there is none. */
  constructor(libc: Libc, device: () => number | undefined) {
    this.#device = device
    this.#write = libc.foreign('long write(int, void *, ulong)')
  }

  /** Whether a notification is with the kernel. */
  get busy(): boolean {
    return this.#idle !== undefined
  }

  /** Calls `written` after the last of them. */
  notify(messages: Iterable<Buffer>, written?: () => void): void {
    this.#waiting.push({ messages: messages[Symbol.iterator](), written })
    if (this.#idle === undefined) this.#next()
  }

  /** Writes no more, and waits up to `time` milliseconds for the one that is with the kernel. Resolves to whether the kernel has let go of it. */
  async end(time: number): Promise<boolean> {
    this.#over = true
    return this.#idle === undefined || (await settledWithin(this.#idle.promise, time)) !== 'late'
  }

  #next(): void {
    this.#idle ??= Promise.withResolvers()
    const fd = this.#device()
    for (let [first] = this.#waiting; first !== undefined && fd !== undefined && !this.#over; [first] = this.#waiting) {
      const step = first.messages.next()
      if (step.done !== true) {
        this.#write.async(fd, step.value, step.value.length, () => this.#next())
        return
      }
      this.#waiting.shift()
      first.written?.()
    }
    this.#idle.resolve(undefined)
    this.#idle = undefined
  }
}
