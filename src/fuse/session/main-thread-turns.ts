import type { Libc } from '../../os/libc.ts'
import { EventLoop } from '../../os/processes/event-loop.ts'
import type { Timeout } from './loop.ts'

/** Rounds of requests in a row, after which the event loop has its turn, whatever else there is. */
const MOST_ROUNDS = 64

/** Milliseconds, the most that Node's timers take: 24 days. */
const LONGEST = 2 ** 31 - 1

/** What has its turns in the main thread. */
export interface TurnTaker {
  /** Whether there is anything to {@link turn} for. */
  readonly busy: boolean
  /** Answers that come by way of the event loop. */
  readonly awaited: number
  /** Serves what there is, or waits up to `timeout` milliseconds (-1: for ever). */
  turn(timeout: Timeout): void
}

/**
 * Runs a loop of our own in the main thread of a process that has little else to do. The thread sleeps in that loop's epoll_wait(2), which watches the
 * event loop too; each time around the event loop runs what it has.
 */
export class MainThreadTurns {
  /** What the loop is to listen to beside its own descriptors. */
  readonly neighbour: { readonly fd: number; readonly readable: () => void }
  readonly #loop: EventLoop
  /** An event has come that code outside of the loop waits for. */
  #due = false
  /** Keeps the event loop alive, because libuv gives a loop without work no timeout. */
  #alive: NodeJS.Timeout | undefined

  constructor(libc: Libc) {
    this.#loop = new EventLoop(libc)
    this.neighbour = { fd: this.#loop.fd, readable: () => this.due() }
  }

  /** Has the event loop run after this round. */
  due(): void {
    this.#due = true
  }

  /** Gives turns from now on, until the taker is not busy any more. */
  begin(taker: TurnTaker): void {
    if (this.#alive !== undefined) return
    this.#alive = setInterval(() => undefined, LONGEST)
    setImmediate(() => {
      this.#turn(taker)
    })
  }

  #turn(taker: TurnTaker): void {
    this.#loop.beginTurn()
    const timeout = (): number => this.#loop.timeout()
    for (let round = 0; round < MOST_ROUNDS && taker.busy; round++) {
      taker.turn(timeout)
      // An answer that comes later comes by way of the event loop.
      if (this.#takeDue() || taker.awaited > 0) break
    }
    if (taker.busy) {
      setImmediate(() => {
        this.#turn(taker)
      })
    } else {
      clearInterval(this.#alive)
      this.#alive = undefined
    }
  }

  #takeDue(): boolean {
    const due = this.#due
    this.#due = false
    return due
  }
}
