import { Socket } from 'node:net'
import { isSocket } from '../../os/descriptors.ts'
import { READY, READY_FD } from '../../os/ready-word.ts'

/** The daemon's end of the socket pair on which its parent waits. */
export class ReadyChannel {
  readonly #socket: Socket

  /** `onLost` is called when the parent goes away before it was told anything: a mount that nobody waits for must not appear. */
  constructor(fd: number, onLost: () => void) {
    this.#socket = new Socket({ fd, readable: true, writable: true })
    this.#socket.on('error', onLost).on('close', onLost).resume()
  }

  /** Tells the parent and lets go of it. Resolves to whether it was still there to be told. */
  async announce(): Promise<boolean> {
    this.#socket.removeAllListeners('close').removeAllListeners('error')
    // What comes after the word was taken is the parent's own end.
    this.#socket.on('error', () => undefined)
    return await new Promise<boolean>((resolve) => {
      this.#socket.write(READY, (error) => {
        this.#socket.destroy()
        resolve(!error)
      })
    })
  }
}

/** Takes the descriptor's number out of the environment, so that it is inherited by nobody else. */
export function takeReadyFd(env: NodeJS.ProcessEnv): number | undefined {
  const text = env[READY_FD]
  Reflect.deleteProperty(env, READY_FD)
  if (text === undefined || !/^\d+$/.test(text)) return undefined
  return isSocket(Number(text)) ? Number(text) : undefined
}
