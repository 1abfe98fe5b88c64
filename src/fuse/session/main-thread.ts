import type { Libc } from '../../os/libc.ts'
import { AttachedSession, type RunningSession, type SessionRunner } from './attached-session.ts'
import type { Attachment, ServerEvent } from './messages.ts'
import { MainThreadTurns } from './main-thread-turns.ts'
import { type MakeFileSystem, SessionServer } from './server.ts'

/** The dependencies of {@link MainThreadServer}. */
export interface MainThreadParts {
  readonly libc: Libc
  readonly filesystem: MakeFileSystem
  /** Milliseconds for which a device is polled after a request; 0: never. */
  readonly pollTime: number
  /** A warning, or a line for `-d`. */
  readonly say: (text: string) => void
}

/** Serves sessions in the main thread of a process that has little else to do. */
export class MainThreadServer implements SessionRunner {
  readonly #parts: MainThreadParts
  readonly #server: SessionServer
  readonly #turns: MainThreadTurns
  readonly #sessions = new Map<string, AttachedSession>()
  readonly #stop = (): void => {
    this.#server.obey({ type: 'stop' })
  }

  constructor(parts: MainThreadParts) {
    this.#parts = parts
    const { libc, filesystem, pollTime } = parts
    this.#turns = new MainThreadTurns(libc)
    const emit = (event: ServerEvent): void => {
      this.#on(event)
    }
    this.#server = new SessionServer({ libc, filesystem, pollTime, neighbour: this.#turns.neighbour, emit })
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
    this.#turns.begin(this.#server)
    return session
  }

  #on(event: ServerEvent): void {
    switch (event.type) {
      case 'warning':
      case 'trace':
        this.#parts.say(event.text)
        return
      case 'initialising':
      case 'initialised':
        this.#turns.due()
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
    this.#turns.due()
    this.#server.abandon(id)
    this.#sessions.get(id)?.end(outcome)
    this.#sessions.delete(id)
  }
}
