import { closeSync } from 'node:fs'
import { codeOf } from '../errors.ts'
import { Backoff } from '../os/backoff.ts'
import { pipeClosed } from '../os/descriptors/pipe-closed.ts'
import type { Libc } from '../os/libc.ts'
import { sendDatagram } from '../os/sockets/unix-datagram.ts'

/** Milliseconds until a message is sent again that the receiver had no room for. */
const PAUSES = { first: 1, longest: 100 }

/** Errors that say that there is no room now: the receiver's queue, the kernel's memory, or its count of descriptors under way is full. */
const FULL: readonly unknown[] = ['EAGAIN', 'ENOBUFS', 'ENOMEM', 'ETOOMANYREFS']

/** What is to become of one name in the receiver's store. */
interface Change {
  /** The receiver has to close what it has by that name first. */
  remove: boolean
  /** Descriptors that it has to take over then. */
  store?: { readonly descriptors: readonly number[]; readonly sent: PromiseWithResolvers<undefined> }
}

/** A wish for a barrier that is not sent yet, or is not passed. */
type Barrier = PromiseWithResolvers<undefined>

/**
 * Sends messages of sd_notify(3) to a receiver that may read late, or never. Nothing here waits for it in this thread. What is not sent yet is
 * kept by the name of the descriptor that it is about, and only the newest change of each name: a store that is taken back before it is sent is
 * never sent. At most one barrier is under way. So neither memory nor descriptors grow with the time for which the receiver does not read.
 */
export class NotifySender {
  readonly #libc: Libc
  readonly #address: string
  readonly #onFailure: (error: unknown) => void
  readonly #changes = new Map<string, Change>()
  /** Names of which the receiver has been sent a descriptor, from here or from the sender before. */
  readonly #stored: Set<string>
  #queued: string[] = []
  #wanted: Barrier | undefined
  #underWay: Barrier | undefined
  #retry: NodeJS.Timeout | undefined
  readonly #backoff = new Backoff(PAUSES)

  /**
   * `address`: a path, or an abstract name with a leading `@`. `onFailure` is called for a message that cannot be sent and has no promise of its own.
   * `former`: a sender to that address before this one. Its receiver may still be there, and have what was sent.
   */
  constructor(libc: Libc, address: string, onFailure: (error: unknown) => void, former?: NotifySender) {
    this.#libc = libc
    this.#address = address
    this.#onFailure = onFailure
    this.#stored = new Set(former === undefined ? [] : former.#stored)
  }

  /** Sends a message now, or not at all when the receiver has no room; tells whether it was sent. Throws SystemError for other failures. */
  offer(text: string): boolean {
    if (this.#retry !== undefined) return false
    try {
      this.#send(text)
      return true
    } catch (error) {
      if (isFull(error)) return false
      throw error
    }
  }

  /** Sends a message after all that was asked for before, as soon as the receiver has room. */
  say(text: string): void {
    this.#queued.push(text)
    this.#kick()
  }

  /**
   * Has the receiver keep copies of descriptors under a name. They must stay open until the result resolves, which it does when they are sent, or
   * until {@link unstore}. Rejects with SystemError when they cannot be sent, or with Error when they are not to be kept any more.
   */
  async store(name: string, descriptors: readonly number[]): Promise<void> {
    const change = this.#changes.get(name) ?? { remove: false }
    change.store?.sent.reject(new Error(`${name} is stored anew`))
    const sent = Promise.withResolvers<undefined>()
    change.store = { descriptors, sent }
    this.#changes.set(name, change)
    this.#kick()
    await sent.promise
  }

  /** Has the receiver close all that it keeps under a name. */
  unstore(name: string): void {
    const change = this.#changes.get(name)
    change?.store?.sent.reject(new Error(`${name} is not to be kept any more`))
    const neverSent = change !== undefined && !change.remove && !this.#stored.has(name)
    if (neverSent) this.#changes.delete(name)
    else this.#changes.set(name, { remove: true })
    this.#kick()
  }

  /** Resolves when the receiver has taken in all that was asked for before. Rejects with Error when it cannot be asked, or at {@link drop}. */
  async barrier(): Promise<void> {
    this.#wanted ??= Promise.withResolvers<undefined>()
    const { promise } = this.#wanted
    this.#kick()
    await promise
  }

  /** Forgets all that is not sent yet; nothing more is to be asked for. */
  drop(reason: Error): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    for (const { store } of this.#changes.values()) store?.sent.reject(reason)
    this.#changes.clear()
    this.#queued = []
    this.#wanted?.reject(reason)
    this.#underWay?.reject(reason)
    this.#wanted = undefined
  }

  #kick(): void {
    if (this.#retry === undefined) this.#pump()
  }

  #pump(): void {
    this.#retry = undefined
    try {
      while (this.#sendNext()) this.#backoff.reset()
    } catch (error) {
      if (!isFull(error)) throw error
      this.#retry = setTimeout(() => this.#pump(), this.#backoff.next())
    }
  }

  /** Sends one message, if there is any to send; tells whether there was. Throws SystemError when the receiver has no room. */
  #sendNext(): boolean {
    const [next] = this.#changes
    if (next !== undefined) {
      this.#sendChange(...next)
      return true
    }
    const [word] = this.#queued
    if (word !== undefined) {
      this.#attempt(() => this.#send(word), this.#onFailure)
      this.#queued.shift()
      return true
    }
    const barrier = this.#wanted
    if (barrier === undefined || this.#underWay !== undefined) return false
    this.#attempt(() => this.#sendBarrier(barrier), barrier.reject)
    this.#wanted = undefined
    return true
  }

  #sendChange(name: string, change: Change): void {
    const { store } = change
    if (change.remove) {
      this.#attempt(() => this.#send(unstoreMessage(name)), this.#onFailure)
      this.#stored.delete(name)
      change.remove = false
    } else if (store !== undefined) {
      const send = (): void => {
        this.#send(storeMessage(name), store.descriptors)
        this.#stored.add(name)
        store.sent.resolve(undefined)
      }
      this.#attempt(send, store.sent.reject)
      delete change.store
    }
    if (change.store === undefined) this.#changes.delete(name)
  }

  #sendBarrier(barrier: Barrier): void {
    const [read, write] = this.#libc.pipe()
    try {
      this.#send('BARRIER=1', [write])
    } catch (error) {
      closeSync(read)
      throw error
    } finally {
      closeSync(write)
    }
    this.#underWay = barrier
    // The receiver closes its copy, the last one, when it has come so far.
    const over = (): void => {
      this.#underWay = undefined
      this.#kick()
    }
    pipeClosed(read)
      .then(() => barrier.resolve(undefined), barrier.reject)
      .finally(over)
      .catch(this.#onFailure)
  }

  /** Only a full receiver is worth another attempt: any other failure is the message's own. */
  #attempt(act: () => void, onFailure: (error: unknown) => void): void {
    try {
      act()
    } catch (error) {
      if (isFull(error)) throw error
      onFailure(error)
    }
  }

  #send(text: string, descriptors: readonly number[] = []): void {
    sendDatagram(this.#libc, this.#address, Buffer.from(text), descriptors)
  }
}

/**
 * The message that has copies of the descriptors kept under a name. FDPOLL=0: they are not watched, for a process that waits for errors of a
 * /dev/fuse is woken by each request.
 */
export function storeMessage(name: string): string {
  return `FDSTORE=1\nFDPOLL=0\nFDNAME=${name}`
}

function unstoreMessage(name: string): string {
  return `FDSTOREREMOVE=1\nFDNAME=${name}`
}

/** Whether a message could not be sent because there is no room for it now: it is worth another attempt. */
export function isFull(error: unknown): boolean {
  return FULL.includes(codeOf(error))
}
