import { closeSync, existsSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { hangsUp } from '../os/hang-up.ts'
import type { Libc } from '../os/libc.ts'
import { storeMessage, unstoreMessage } from '../os/sd-notify.ts'
import { MSG_DONTWAIT, sendDatagram } from '../os/unix-datagram.ts'
import { idOf, type Sessions } from './sessions.ts'
import { DAEMON } from './standby-socket.ts'

/** Milliseconds for which a standby is waited for that takes nothing in. */
const PATIENCE = 1000
/** Milliseconds until a queue that was full is tried again: at first, and once it is waited for no more. */
const PAUSE = 1
const LONG_PAUSE = 100

/** What is to be sent. `descriptors` are asked for when it is its turn; undefined: it has no sense any more. */
interface Message {
  readonly text: string
  readonly descriptors?: () => readonly number[] | undefined
  /** It was sent, or never will be. */
  readonly done?: () => void
}

/** What a link is put together from. */
export interface StandbyLinkParts {
  readonly libc: Libc
  /** Of the standby; there may be none. */
  readonly socket: string
  readonly sessions: Sessions
  /** A standby has ended: what it has read and not answered must be asked for again. */
  readonly onEnd: () => void
  readonly log: Logger
}

/**
 * Gives a standby copies of all devices, and tells it when to serve. Nothing that a standby does, or fails to do, keeps the daemon from its own work: one
 * that hangs is waited for once, and finds all that it was told when it goes on.
 */
export class StandbyLink {
  readonly #parts: StandbyLinkParts
  /** A pipe of ours; its end to write is held for as long as we live. */
  readonly #life: readonly [number, number]
  readonly #queue: Message[] = []
  #there = false
  #hangs = false
  #retry: NodeJS.Timeout | undefined
  /** Devices that it was to close so far; and how many of those it has, for sure. */
  #unstored = 0
  #closed = 0

  /** Throws SystemError. */
  constructor(parts: StandbyLinkParts) {
    this.#parts = parts
    this.#life = parts.libc.pipe()
  }

  /** Tells a standby that a daemon serves, if there is one, and looks out for others. Resolves when it does not serve any more. */
  async begin(): Promise<void> {
    const { socket, log } = this.#parts
    try {
      watch(dirname(socket), { persistent: false }, (_event, name) => {
        if (name === basename(socket) && existsSync(socket)) void this.#greet()
      }).on('error', (error) => {
        log.warning(`cannot look out for a standby any more: ${messageOf(error)}`)
      })
    } catch (error) {
      log.warning(`cannot look out for a standby: ${messageOf(error)}`)
    }
    if (existsSync(socket)) await this.#greet()
  }

  /** Gives it a copy of a device. */
  store(id: string): void {
    this.#send({ text: storeMessage(id), descriptors: () => this.#device(id) })
  }

  /** Has it close its copy. */
  unstore(id: string): void {
    this.#unstored++
    this.#send({ text: unstoreMessage(id) })
  }

  /** Resolves when no copy is left of what has ended. */
  async barrier(): Promise<void> {
    const unstored = this.#unstored
    if (this.#closed < unstored) await this.#barrier()
    this.#closed = Math.max(this.#closed, unstored)
  }

  /** Has it serve from now on: we are about to read no more. Resolves when it does. */
  async handOver(): Promise<void> {
    if (!this.#there) return
    this.#send({ text: 'STOPPING=1' })
    await this.#barrier()
  }

  async #greet(): Promise<void> {
    try {
      await this.#introduce()
    } catch (error) {
      this.#parts.log.warning(`cannot tell the standby: ${messageOf(error)}`)
      this.#lose()
    }
  }

  async #introduce(): Promise<void> {
    this.#lose()
    this.#there = true
    const [read, write] = this.#parts.libc.pipe()
    this.#send({
      text: storeMessage(DAEMON),
      descriptors: () => [this.#life[0], write],
      done: () => {
        closeSync(write)
      },
    })
    void this.#ended(read)
    const greeted = this.#barrier()
    for (const session of this.#parts.sessions.all()) if (session.kind === 'served') this.store(idOf(session))
    await greeted
  }

  /** `tie`: a pipe whose other end the standby has. */
  async #ended(tie: number): Promise<void> {
    await hangsUp(tie)
    this.#parts.onEnd()
  }

  async #barrier(): Promise<void> {
    if (!this.#there) return
    const [read, write] = this.#parts.libc.pipe()
    this.#send({
      text: 'BARRIER=1',
      descriptors: () => [write],
      done: () => {
        closeSync(write)
      },
    })
    const passed = hangsUp(read).then(() => {
      this.#hangs = false
    })
    if (this.#hangs) return
    if ((await Promise.race([passed, sleep(PATIENCE, 'late' as const, { ref: false })])) === 'late') this.#giveUp()
  }

  #giveUp(): void {
    if (this.#hangs) return
    this.#hangs = true
    this.#parts.log.warning(`the standby has not answered within ${PATIENCE / 1000} s, and is waited for no more`)
  }

  #send(message: Message): void {
    if (!this.#there) return
    this.#queue.push(message)
    if (this.#retry === undefined) this.#pump()
  }

  #pump(): void {
    this.#retry = undefined
    for (let [next] = this.#queue; next !== undefined; [next] = this.#queue) {
      const outcome = this.#try(next)
      if (outcome === 'full') {
        this.#retry = setTimeout(() => this.#pump(), this.#hangs ? LONG_PAUSE : PAUSE)
        return
      }
      if (outcome === 'gone') {
        this.#lose()
        return
      }
      this.#queue.shift()
      next.done?.()
    }
  }

  #device(id: string): readonly number[] | undefined {
    const session = this.#parts.sessions.get(id)
    return session?.kind === 'served' ? [session.running.fd] : undefined
  }

  #try({ text, descriptors }: Message): 'sent' | 'full' | 'gone' {
    const wanted = descriptors === undefined ? [] : descriptors()
    if (wanted === undefined) return 'sent'
    const { libc, socket, log } = this.#parts
    try {
      sendDatagram(libc, socket, Buffer.from(text), { descriptors: wanted, flags: MSG_DONTWAIT })
      return 'sent'
    } catch (error) {
      const code = codeOf(error)
      if (code === 'EAGAIN') return 'full'
      if (code !== 'ECONNREFUSED' && code !== 'ENOENT') log.warning(`cannot tell the standby: ${messageOf(error)}`)
      return 'gone'
    }
  }

  /** There is none, until one comes anew; whoever waits for it waits no longer. */
  #lose(): void {
    this.#there = false
    this.#hangs = false
    clearTimeout(this.#retry)
    this.#retry = undefined
    for (const { done } of this.#queue.splice(0)) done?.()
  }
}
