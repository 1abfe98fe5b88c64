import { EventLoop } from '../../os/processes/event-loop.ts'
import type { Libc } from '../../os/libc.ts'
import { AttachedSession, type RunningSession, type SessionRunner } from './attached-session.ts'
import type { Attachment, ServerEvent } from './messages.ts'
import { type MakeFileSystem, SessionServer } from './server.ts'

/** Rounds of requests in a row, after which the event loop has its turn, whatever else there is. */
const MOST_ROUNDS = 64

/** Milliseconds, the most that Node's timers take: 24 days. */
const LONGEST = 2 ** 31 - 1

/** The dependencies of {@link MainThreadServer}. */
export interface MainThreadParts {
  readonly libc: Libc
  readonly filesystem: MakeFileSystem
  /** Milliseconds for which a device is polled after a request; 0: never. */
  readonly pollTime: number
  /** A warning, or a line for `-d`. */
  readonly say: (text: string) => void
}

/**
 * Serves sessions in the main thread of a process that has little else to do. The thread sleeps in the server's epoll_wait(2), which watches the
 * event loop too; each time around the event loop runs what it has.
 */
export class MainThreadServer implements SessionRunner {
  readonly #parts: MainThreadParts
  readonly #server: SessionServer
  readonly #loop: EventLoop
  readonly #sessions = new Map<string, AttachedSession>()
  /** An event has come that code outside of the server waits for. */
  #due = false
  readonly #stop = (): void => {
    this.#server.obey({ type: 'stop' })
  }
  /** Keeps the event loop alive, because libuv gives a loop without work no timeout. */
  #alive: NodeJS.Timeout | undefined

  constructor(parts: MainThreadParts) {
    this.#parts = parts
    const { libc, filesystem, pollTime } = parts
    this.#loop = new EventLoop(libc)
    const neighbour = {
      fd: this.#loop.fd,
      readable: () => {
        this.#due = true
      },
    }
    const emit = (event: ServerEvent): void => {
      this.#on(event)
    }
    this.#server = new SessionServer({ libc, filesystem, pollTime, neighbour, emit })
    // The exit of the process does not interrupt a mount(2) that waits for its INIT.
    process.prependOnceListener('exit', this.#stop)
  }

  /** Closes its descriptors. Its sessions must have ended. */
  close(): void {
    process.off('exit', this.#stop)
    this.#server.close()
  }

  attach(attachment: Attachment): RunningSession {
    const session = new AttachedSession(attachment, (command) => {
      this.#server.obey(command)
    })
    this.#sessions.set(attachment.id, session)
    this.#server.obey({ type: 'attach', session: attachment })
    this.#begin()
    return session
  }

  #begin(): void {
    if (this.#alive !== undefined) return
    this.#alive = setInterval(() => undefined, LONGEST)
    setImmediate(() => {
      this.#turn()
    })
  }

  #turn(): void {
    this.#loop.beginTurn()
    const timeout = (): number => this.#loop.timeout()
    for (let round = 0; round < MOST_ROUNDS && this.#server.busy; round++) {
      this.#server.turn(timeout)
      // An answer that comes later comes by way of the event loop.
      if (this.#takeDue() || this.#server.awaited > 0) break
    }
    if (this.#server.busy) {
      setImmediate(() => {
        this.#turn()
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

  #on(event: ServerEvent): void {
    switch (event.type) {
      case 'warning':
      case 'trace':
        this.#parts.say(event.text)
        return
      case 'initialising':
      case 'initialised':
        this.#due = true
        this.#sessions.get(event.id)?.initStep(event)
        return
      case 'ended':
        this.#end(event.id, event.outcome)
        return
      case 'detached':
        this.#end(event.id, { kind: 'detached' })
        return
      case 'up':
      case 'inspection':
      case 'drained':
    }
  }

  #end(id: string, outcome: Parameters<AttachedSession['end']>[0]): void {
    this.#due = true
    this.#server.abandon(id)
    this.#sessions.get(id)?.end(outcome)
    this.#sessions.delete(id)
  }
}
