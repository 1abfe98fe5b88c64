import { readSync } from 'node:fs'
import { messageOf } from '../../errors.ts'
import { Epoll } from '../../os/descriptors/epoll.ts'
import type { Libc } from '../../os/libc.ts'
import type { FileSystem } from '../filesystem.ts'
import { Writer } from '../protocol/writer.ts'
import { KernelDevice } from './device.ts'
import { REPLY_SIZE, REQUEST_SIZE } from './handshake.ts'
import { type SessionDescriptor, ServingLoop, type Timeout } from './loop.ts'
import type { Attachment, Command, Inspection, ServerEvent } from './messages.ts'
import { sessionSettings, type WritableSettings } from './mount-options.ts'
import { AdaptivePolling } from './polling.ts'
import { FuseSession, type SessionHooks, type Shared } from './session.ts'

/** Warnings of one session that are passed on: a file system that fails each request would fill the disk with them. */
const MOST_WARNINGS = 20

/** What a session's file system is to be. */
export interface WantedFileSystem extends Pick<Attachment, 'faults'> {
  /** Whether another process has served the session before. */
  readonly inherited: boolean
  readonly writable: WritableSettings | undefined
}

/** Makes the file system of a session. */
export type MakeFileSystem = (wanted: WantedFileSystem) => FileSystem

/** The dependencies of {@link SessionServer}. */
export interface ServerParts {
  readonly libc: Libc
  readonly filesystem: MakeFileSystem
  /** Milliseconds for which a device is polled after a request; 0: never. */
  readonly pollTime: number
  /** Where other threads' commands come in, if any do. */
  readonly inbox?: CommandQueue
  /** Another descriptor that ends a wait: `readable` is called, and has to see to it that it is read. */
  readonly neighbour?: { readonly fd: number; readonly readable: () => void }
  readonly emit: (event: ServerEvent) => void
}

/** Commands for a server that may be asleep. */
export interface CommandQueue {
  /** An eventfd that is written to after each command; closed by its maker. */
  readonly wakeFd: number
  /** The commands that have come since. */
  readonly commands: () => Iterable<Command>
}

interface ServedSession extends SessionDescriptor {
  readonly session: FuseSession
  /** Whether its INIT, when it comes, is not to be answered at once. */
  readonly holdsInit: boolean
  warnings: number
}

/** Serves sessions in the thread that calls {@link turn}. It closes no descriptor: the caller that attached it does, after it has ended or is detached. */
export class SessionServer {
  readonly #parts: ServerParts
  readonly #epoll: Epoll
  readonly #loop: ServingLoop
  readonly #sessions = new Map<string, ServedSession>()
  readonly #shared: Shared = { request: Buffer.alloc(REQUEST_SIZE), reply: new Writer(REPLY_SIZE), awaited: 0 }
  /** Sessions that are read elsewhere by now, some of whose answers are still to be written here. */
  readonly #lingering = new Map<string, FuseSession>()
  readonly #eight = Buffer.alloc(8)
  #stopped = false
  #draining = false

  constructor(parts: ServerParts) {
    this.#parts = parts
    this.#epoll = new Epoll(parts.libc)
    const polling = new AdaptivePolling(parts.pollTime)
    this.#loop = new ServingLoop(this.#epoll, polling, parts.libc.yielder())
    const { inbox, neighbour } = parts
    if (inbox !== undefined) this.#loop.listen(inbox.wakeFd, () => this.#obeyAll(inbox))
    if (neighbour !== undefined) this.#loop.listen(neighbour.fd, neighbour.readable)
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** Answers that file systems still owe: while there are any, the event loop of this thread must go on too. */
  get awaited(): number {
    return this.#shared.awaited
  }

  /** Whether there is anything to {@link turn} for. */
  get busy(): boolean {
    return this.#sessions.size > 0 || this.#draining
  }

  /** Whether a session's INIT has been read here and is not answered. */
  holdsInit(id: string): boolean {
    return this.#sessions.get(id)?.session.holdsInit ?? false
  }

  /** What was read of a session that is served here, by the requests' opcodes. */
  counts(id: string): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#sessions.get(id)?.session.counts ?? [])
  }

  /** Writes no more replies of a session, because its descriptor is about to be closed. */
  abandon(id: string): void {
    this.#lingering.get(id)?.abandon()
    this.#lingering.delete(id)
  }

  /** Serves what there is, or waits up to `timeout` milliseconds (-1: for ever). */
  turn(timeout: Timeout): void {
    // The last answer may have come since the last turn; then nothing would end the wait.
    if (this.#drained()) return
    this.#loop.turn(timeout)
    this.#drained()
  }

  obey(command: Command): void {
    switch (command.type) {
      case 'attach':
        this.#attach(command.session)
        return
      case 'answer-init':
        this.#sessions.get(command.id)?.session.answerInit()
        return
      case 'detach':
        this.#detach(command.id)
        return
      case 'resend':
        this.#sessions.get(command.id)?.session.resend()
        return
      case 'inspect':
        this.#parts.emit({ type: 'inspection', token: command.token, inspection: this.#inspect(command.id) })
        return
      case 'drain':
        for (const entry of this.#sessions.values()) this.#loop.remove(entry)
        this.#draining = true
        return
      case 'stop':
        for (const { session, holdsInit } of this.#sessions.values()) {
          if (holdsInit) session.serve(1)
          session.answerInit('the process ends')
        }
        this.#stopped = true
    }
  }

  /** Closes the server's own descriptors. */
  close(): void {
    this.#epoll.close()
  }

  #drained(): boolean {
    if (!this.#draining || this.#shared.awaited > 0) return false
    this.#draining = false
    this.#parts.emit({ type: 'drained' })
    return true
  }

  #obeyAll(inbox: CommandQueue): void {
    readSync(inbox.wakeFd, this.#eight)
    for (const command of inbox.commands()) this.obey(command)
  }

  #attach(attachment: Attachment): void {
    const { id, fd, options, faults, resend, holdInit, inherited = false, counts } = attachment
    const device = new KernelDevice(this.#parts.libc, fd)
    const hooks = this.#hooks(id, holdInit)
    const settings = sessionSettings(options)
    const filesystem = this.#parts.filesystem({ faults, writable: settings.writable, inherited })
    const session = new FuseSession(device, filesystem, settings, this.#shared, hooks, counts)
    const entry: ServedSession = { fd, session, holdsInit: holdInit, warnings: 0, serve: (most) => session.serve(most) }
    this.#sessions.set(id, entry)
    try {
      if (resend) session.resend()
      this.#loop.add(entry)
    } catch (error) {
      this.#sessions.delete(id)
      this.#parts.emit({ type: 'ended', id, outcome: { kind: 'refused', message: messageOf(error) } })
    }
  }

  #hooks(id: string, holdInit: boolean): SessionHooks {
    const { emit } = this.#parts
    return {
      initialising: (negotiated) => {
        emit({ type: 'initialising', id, negotiated })
        return holdInit ? 'hold' : 'answer'
      },
      initialised: (reply) => {
        emit({ type: 'initialised', id, reply })
      },
      ended: (outcome) => {
        this.#forget(id)
        emit({ type: 'ended', id, outcome })
      },
      warning: (text) => {
        const entry = this.#sessions.get(id)
        if (entry !== undefined && ++entry.warnings <= MOST_WARNINGS) emit({ type: 'warning', id, text })
      },
      trace: (text) => {
        emit({ type: 'trace', id, text })
      },
    }
  }

  #forget(id: string): void {
    const entry = this.#sessions.get(id)
    if (entry === undefined) return
    this.#sessions.delete(id)
    this.#loop.remove(entry)
  }

  #detach(id: string): void {
    const session = this.#sessions.get(id)?.session
    if (session !== undefined && session.pending > 0) this.#lingering.set(id, session)
    this.#forget(id)
    this.#parts.emit({ type: 'detached', id })
  }

  #inspect(id: string | undefined): Inspection | undefined {
    const session = this.#sessions.get(id ?? '')?.session
    return session === undefined ? undefined : { counts: Object.fromEntries(session.counts), pending: session.pending }
  }
}
