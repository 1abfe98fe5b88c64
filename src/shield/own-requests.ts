import type { DaemonChannel } from './daemon-channel.ts'
import { IN } from './messages.ts'

/** Marks the requests that the relay makes itself; the kernel's are below. */
const OWN_REQUEST = 1n << 62n

/** What is to happen with the outcome of a request of the relay's own. Nothing does if the daemon ends first. */
export interface Own {
  /** The reply's body, good until it returns. */
  readonly done: (body: Buffer) => void
  /** A positive errno. */
  readonly failed: (errno: number) => void
}

/** The requests that the relay makes itself of the daemon that serves. */
export class OwnRequests {
  readonly #waiting = new Map<bigint, Own>()
  #channel: DaemonChannel | undefined
  #count = 0n

  /** Another daemon serves; undefined: none does. What the last one owes is not waited for any more. */
  serve(channel: DaemonChannel | undefined): void {
    this.#channel = channel
    this.#waiting.clear()
  }

  /** Whether no answer is waited for. */
  get idle(): boolean {
    return this.#waiting.size === 0
  }

  /** Makes a request, whose unique is set. */
  ask(request: Buffer, own: Own): void {
    const unique = OWN_REQUEST | (2n * ++this.#count)
    request.writeBigUInt64LE(unique, IN.unique)
    this.#waiting.set(unique, own)
    this.#channel?.send(request, request.length)
  }

  /** Makes a request that has no answer, or whose answer says nothing new. Without a daemon there is nothing to say it to. */
  tell(request: Buffer): void {
    if (this.#channel !== undefined) this.ask(request, { done: () => undefined, failed: () => undefined })
  }

  /** Makes a request that the daemon does not answer. */
  announce(request: Buffer): void {
    this.#channel?.send(request, request.length)
  }

  /** Who waits for an answer; undefined if it is the kernel. */
  take(unique: bigint): Own | undefined {
    const own = this.#waiting.get(unique)
    this.#waiting.delete(unique)
    return own
  }
}
