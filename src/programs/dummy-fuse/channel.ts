import { Socket } from 'node:net'
import { type DaemonWord, type Order, parseOrder, READY_FD, wordLine } from '../../os/processes/daemon-channel.ts'
import { LineCutter } from '../../line-cutter.ts'
import { isSocket } from '../../os/descriptors/descriptors.ts'

/** The daemon's end of the socket pair on which its starter waits. */
export class StarterChannel {
  readonly #socket: Socket
  readonly #orders: Order[] = []
  readonly #losers = new Set<() => void>()
  #came: (() => void) | undefined
  #open = true

  constructor(fd: number) {
    const lines = new LineCutter()
    const lose = (): void => {
      this.#open = false
      this.#socket.destroy()
      for (const loser of this.#losers) loser()
      this.#came?.()
    }
    this.#socket = new Socket({ fd, readable: true, writable: true })
    this.#socket.on('error', lose).on('close', lose)
    this.#socket.on('data', (piece) => {
      // A plugin of another version may send something else.
      this.#orders.push(...lines.push(piece).map((line) => parseOrder(line) ?? ({ do: 'end' } as const)))
      this.#came?.()
    })
  }

  /** Whether the starter is there, as far as is known. */
  get open(): boolean {
    return this.#open
  }

  /** Tells the starter. Resolves to whether it was still there to be told. */
  async say(word: DaemonWord): Promise<boolean> {
    if (!this.#open) return false
    return await new Promise<boolean>((resolve) => {
      this.#socket.write(wordLine(word), (error) => {
        resolve(!error)
      })
    })
  }

  /** Calls `loser` when the starter has gone, or {@link release} was called, unless the result is disposed of before. */
  onLost(loser: () => void): Disposable {
    if (this.#open) this.#losers.add(loser)
    else loser()
    return {
      [Symbol.dispose]: () => {
        this.#losers.delete(loser)
      },
    }
  }

  /** The next order; `end` once the starter has gone. */
  async order(): Promise<Order> {
    while (this.#orders.length === 0 && this.#open) {
      const { promise, resolve } = Promise.withResolvers<undefined>()
      this.#came = () => {
        resolve(undefined)
      }
      await promise
    }
    return this.#orders.shift() ?? { do: 'end' }
  }

  /** Lets go of the starter. */
  release(): void {
    this.#socket.destroy()
  }
}

/** Takes the descriptor's number out of the environment, so that it is inherited by nobody else. */
export function takeReadyFd(env: NodeJS.ProcessEnv): number | undefined {
  const text = env[READY_FD]
  Reflect.deleteProperty(env, READY_FD)
  if (text === undefined || !/^\d+$/.test(text)) return undefined
  return isSocket(Number(text)) ? Number(text) : undefined
}
