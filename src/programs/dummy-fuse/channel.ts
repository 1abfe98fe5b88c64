import { Socket } from 'node:net'

/** The variable that tells a daemon on which descriptor its parent waits for its word. */
export const READY_FD = 'DUMMY_FUSE_READY_FD'

/** What the daemon says once INIT has been handled. */
export const READY = 'ready\n'

/** The daemon's end of the socket pair on which its parent waits. */
export class ReadyChannel {
  readonly #socket: Socket

  /** `onLost` is called when the parent goes away before it was told anything: a mount that nobody waits for must not appear. */
  constructor(fd: number, onLost: () => void) {
    this.#socket = new Socket({ fd, readable: true, writable: true })
    this.#socket.on('error', onLost).on('close', onLost).resume()
  }

  /** Tells the parent and lets go of it. */
  async announce(): Promise<void> {
    this.#socket.removeAllListeners('close').removeAllListeners('error')
    await new Promise<void>((resolve) => {
      this.#socket.on('error', () => {
        resolve()
      })
      this.#socket.end(READY, () => {
        this.#socket.destroy()
        resolve()
      })
    })
  }
}

/** Takes the descriptor's number out of the environment, so that it is inherited by nobody else. */
export function takeReadyFd(env: NodeJS.ProcessEnv): number | undefined {
  const text = env[READY_FD]
  Reflect.deleteProperty(env, READY_FD)
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}
