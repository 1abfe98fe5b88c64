import { closeSync, type FSWatcher } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { pipeClosed } from '../os/descriptors/pipe-closed.ts'
import type { Libc } from '../os/libc.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { watchForSocket } from '../os/sockets/socket-watch.ts'
import { DatagramSocket, sendDatagram } from '../os/sockets/unix-datagram.ts'
import { LONGEST } from '../sd/notify-message.ts'
import { NotifySender } from '../sd/notify-sender.ts'
import { FETCHED, fetchMessage, promiseMessage } from './messages.ts'

/** Milliseconds between two looks for an answer, and between two attempts to reach a holder that is not there. */
const LOOK = 2
const RETRY = 100

/** The kernel's connection and the state of a shield. */
export interface HeldSession {
  readonly device: number
  readonly state: number
}

/** The dependencies of {@link HolderLink}. */
export interface HolderLinkParts {
  readonly libc: Libc
  /** Where the holder listens. It may not be there, or be replaced. */
  readonly socket: string
  /** The name of the session. */
  readonly name: string
  /** Milliseconds for which a holder is waited for that takes nothing in. */
  readonly patience: number
  readonly log: Logger
}

/** One session at a holder: a shield takes it from there, and has it kept there. */
export class HolderLink {
  readonly #parts: HolderLinkParts
  #session: HeldSession | undefined
  /** A pipe of ours: its end to write is open in this process alone, for as long as it lives. */
  #life: readonly [number, number] | undefined
  #sender: NotifySender | undefined
  #watcher: FSWatcher | undefined

  constructor(parts: HolderLinkParts) {
    this.#parts = parts
  }

  /**
   * Takes the session that an earlier shield has left, once that has ended. Waits up to `time` milliseconds for a holder and its answer. Resolves to undefined if the holder
   * has no such session, or does not answer, which is logged.
   */
  async fetch(time: number): Promise<HeldSession | undefined> {
    const { libc, socket, name, log } = this.#parts
    const end = performance.now() + time
    const [ours, theirs] = libc.socketPair()
    try {
      try {
        await reach(socket, end, () => sendDatagram(libc, socket, fetchMessage(name), [theirs]))
      } finally {
        closeSync(theirs)
      }
      const answers = DatagramSocket.ofPair(libc, ours, LONGEST)
      for (;;) {
        const answer = answers.receive()
        const [device, state] = answer?.descriptors ?? []
        if (device !== undefined && state !== undefined && answer?.descriptors.length === FETCHED) return { device, state }
        if (answer !== undefined) return undefined
        if (performance.now() > end) throw new Error(`it does not answer within ${time / 1000} s`)
        await sleep(LOOK)
      }
    } catch (error) {
      log.error(`cannot get the session from the holder on ${socket}: ${messageOf(error)}`)
      return undefined
    } finally {
      closeSync(ours)
    }
  }

  /**
   * Has the holder keep the session, and each one that comes after it. The descriptors must stay open until {@link forget}. Resolves when the holder has them, or when it is
   * logged that it has not.
   */
  async keep(session: HeldSession): Promise<void> {
    const { libc, socket, log } = this.#parts
    this.#session = session
    this.#life ??= libc.pipe()
    const appeared = (): void => {
      this.#store().catch((error: unknown) => this.#warn(error))
    }
    const unwatched = (error: unknown): void => log.warning(`cannot watch for another holder: ${messageOf(error)}`)
    try {
      this.#watcher ??= watchForSocket(socket, appeared, unwatched)
    } catch (error) {
      unwatched(error)
    }
    await this.#store()
  }

  /** Has the holder let go of the session. */
  async forget(): Promise<void> {
    const { name, patience } = this.#parts
    this.#watcher?.close()
    this.#watcher = undefined
    this.#session = undefined
    const sender = this.#sender
    this.#sender = undefined
    sender?.unstore(name)
    await settledWithin(sender?.barrier() ?? Promise.resolve(), patience).catch(() => undefined)
    sender?.drop(new Error('the session has ended'))
    for (const fd of this.#life ?? []) closeSync(fd)
    this.#life = undefined
  }

  async #store(): Promise<void> {
    const { libc, socket, name, patience } = this.#parts
    const session = this.#session
    const life = this.#life
    if (session === undefined || life === undefined) return
    // The holder may be the same as before, and have what the former sender stored.
    const former = this.#sender
    former?.drop(new Error('there is another holder'))
    const sender = new NotifySender(libc, socket, (error) => this.#warn(error), former)
    this.#sender = sender
    try {
      const stored = Promise.all([sender.store(name, [session.device, session.state, life[0]]), sender.barrier()])
      if ((await settledWithin(stored, patience)) === 'late') throw new Error(`it has not answered within ${patience / 1000} s`)
    } catch (error) {
      // The next one has it.
      if (this.#sender === sender) this.#warn(error)
    }
  }

  #warn(error: unknown): void {
    const { socket, log } = this.#parts
    log.warning(`the holder on ${socket} does not keep the session: ${messageOf(error)}; it ends with this container`)
  }
}

/** The dependencies of {@link promised}. */
export type PromiseParts = Omit<HolderLinkParts, 'log'>

/** Has a holder promise to keep a session until a successor has it. Resolves to whether it does: not if it has no such session, hangs or is not there. */
export async function promised({ libc, socket, name, patience }: PromiseParts): Promise<boolean> {
  const [read, write] = libc.pipe()
  const answer = pipeClosed(read)
  try {
    sendDatagram(libc, socket, promiseMessage(name), [write])
  } catch {
    return false
  } finally {
    closeSync(write)
  }
  const said = await settledWithin(answer, patience)
  return said !== 'late' && said.length > 0
}

/** Sends to a holder, and tries again until `end` while none listens. Throws Error. */
async function reach(socket: string, end: number, send: () => void): Promise<void> {
  for (;;) {
    try {
      send()
      return
    } catch (error) {
      const isAbsent = codeOf(error) === 'ENOENT' || codeOf(error) === 'ECONNREFUSED'
      if (!isAbsent || performance.now() > end) throw isAbsent ? new Error(`nobody listens on ${socket}`, { cause: error }) : error
      await sleep(RETRY)
    }
  }
}
