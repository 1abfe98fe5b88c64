import { writeSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { closeInThread } from '../os/descriptors/close-in-thread.ts'
import type { DescriptorWatch } from '../os/descriptors/descriptor-watch.ts'
import type { Libc } from '../os/libc.ts'
import { sendToPeer } from '../os/sockets/unix-datagram.ts'
import type { Notice } from '../sd/notify-message.ts'
import { storeMessage } from '../sd/notify-sender.ts'
import { STORED } from './messages.ts'

/** The dependencies of {@link Holder}. */
export interface HolderParts {
  readonly libc: Libc
  readonly watch: Pick<DescriptorWatch, 'add' | 'closeWatched'>
  /** Milliseconds for which the session of a shield that has ended is kept. */
  readonly deadline: number
  readonly log: Logger
}

/** One session. */
interface Held {
  /** Copies of the kernel's connection and of the shield's state. */
  readonly descriptors: readonly number[]
  /** The pipe of the shield; undefined once that has ended. */
  tie: number | undefined
  /** It is not to be let go of before a successor has it. */
  promised: boolean
  /** Where a successor waits for it. */
  fetching: number | undefined
  timer: NodeJS.Timeout | undefined
}

/**
 * Keeps what the successor of a shield needs, in a process that does not end with the shield's container. It reads nothing of a session, and serves nothing: readers wait until
 * the successor is there.
 */
export class Holder {
  readonly #parts: HolderParts
  readonly #held = new Map<string, Held>()
  readonly #left = Promise.withResolvers<undefined>()
  #leaving = false

  constructor(parts: HolderParts) {
    this.#parts = parts
  }

  /** How many sessions it has. */
  get size(): number {
    return this.#held.size
  }

  /** Handles a message. Its descriptors are closed here, sooner or later. */
  notice({ store, remove, fetch, promise, name }: Notice, descriptors: readonly number[]): void {
    const [first, ...others] = descriptors
    if (store !== undefined && descriptors.length === STORED) this.#store(store.name, descriptors)
    else if (fetch && name !== undefined && first !== undefined) {
      this.#close(others)
      this.#fetch(name, first)
    } else if (promise && name !== undefined && first !== undefined) {
      this.#close(others)
      this.#promise(name, first)
    } else this.#close(descriptors)
    if (remove !== undefined) this.#drop(remove)
    this.#lookWhetherLeft()
  }

  /** It is to end: resolves when no session waits for a successor here. */
  async leave(): Promise<void> {
    this.#leaving = true
    const awaited = this.#awaited()
    if (awaited.length > 0) this.#parts.log.info(`stopped while ${awaited.length} sessions wait for a successor: they are kept`)
    this.#lookWhetherLeft()
    await this.#left.promise
  }

  /** Lets go of everything. */
  close(): void {
    for (const name of this.#held.keys()) this.#drop(name)
  }

  #store(name: string, [device = -1, state = -1, tie = -1]: readonly number[]): void {
    this.#drop(name)
    const held: Held = { descriptors: [device, state], tie, promised: false, fetching: undefined, timer: undefined }
    this.#held.set(name, held)
    this.#parts.watch.add(tie, () => this.#ended(name, held))
  }

  /** The shield of a session has ended, and nothing of it reads the connection any more. */
  #ended(name: string, held: Held): void {
    const { watch, deadline, log } = this.#parts
    if (held.tie !== undefined) watch.closeWatched(held.tie)
    held.tie = undefined
    clearTimeout(held.timer)
    held.timer = setTimeout(() => {
      log.error(
        `no successor has come for the session ${name} within ${deadline / 1000} s: its consumers get an error now; find out why the plugin's container does not start`,
      )
      this.#drop(name)
      this.#lookWhetherLeft()
    }, deadline)
    if (held.fetching !== undefined) this.#give(name, held, held.fetching)
  }

  #fetch(name: string, peer: number): void {
    const held = this.#held.get(name)
    if (held === undefined) {
      this.#close([peer])
      return
    }
    if (held.fetching !== undefined) this.#close([held.fetching])
    held.fetching = peer
    if (held.tie === undefined) this.#give(name, held, peer)
  }

  #give(name: string, held: Held, peer: number): void {
    const { libc, log } = this.#parts
    held.fetching = undefined
    try {
      sendToPeer(libc, peer, Buffer.from(storeMessage(name)), held.descriptors)
      log.info(`handed the session ${name} over to a successor`)
    } catch (error) {
      log.warning(`cannot hand the session ${name} over: ${messageOf(error)}`)
    }
    this.#close([peer])
  }

  #promise(name: string, pipe: number): void {
    const held = this.#held.get(name)
    if (held !== undefined) {
      held.promised = true
      // Of a shield that does not end, nothing is to be kept.
      held.timer ??= setTimeout(() => {
        held.promised = false
        held.timer = undefined
        this.#lookWhetherLeft()
      }, this.#parts.deadline)
      try {
        writeSync(pipe, '1')
      } catch {
        // Who has asked has ended, and its shields with it.
      }
    }
    this.#close([pipe])
  }

  #drop(name: string): void {
    const held = this.#held.get(name)
    if (held === undefined) return
    this.#held.delete(name)
    clearTimeout(held.timer)
    if (held.tie !== undefined) this.#parts.watch.closeWatched(held.tie)
    this.#close([...held.descriptors, ...(held.fetching === undefined ? [] : [held.fetching])])
  }

  #awaited(): readonly string[] {
    return [...this.#held].filter(([, { tie, promised }]) => tie === undefined || promised).map(([name]) => name)
  }

  #lookWhetherLeft(): void {
    if (this.#leaving && this.#awaited().length === 0) this.#left.resolve(undefined)
  }

  /** The last close of a connection may wait. */
  #close(descriptors: readonly number[]): void {
    for (const fd of descriptors) closeInThread(this.#parts.libc, fd)
  }
}
