import { closeSync } from 'node:fs'
import type { InitReply } from '../protocol/replies.ts'
import type { Attachment, Command, ServerEvent } from './messages.ts'
import type { Negotiated } from './negotiated.ts'
import type { SessionOutcome } from './session.ts'

/** How a session that was attached ends. */
export type AttachedOutcome = SessionOutcome | { readonly kind: 'detached' }

/** One session that is served. */
export interface RunningSession {
  readonly fd: number
  /** Resolves when INIT has come; its answer is held back if that was asked for. */
  readonly initialising: Promise<Negotiated>
  /** Resolves when INIT has been answered, to the answer. */
  readonly initialised: Promise<InitReply>
  /** Resolves when there are no more requests, or {@link detach} was called; the descriptor is closed by then. */
  readonly ended: Promise<AttachedOutcome>
  /** Answers INIT. */
  answerInit(): void
  /** Asks the kernel to send again all requests that were read, by any process with the device, and not answered. */
  resend(): void
  /** Stops serving and closes the descriptor. The connection is aborted if no other process has a copy. */
  detach(): void
}

/** Takes sessions and serves them: in a thread of its own ({@link SessionEngine}), or in the caller's ({@link MainThreadServer}). */
export interface SessionRunner {
  /** Serves a session from now on. Its id must be new. */
  attach(attachment: Attachment): RunningSession
}

/** A session between the server that serves it, which takes commands and emits events, and the code that waits for its promises. */
export class AttachedSession implements RunningSession {
  readonly attachment: Attachment
  readonly #send: (command: Command) => void
  readonly #initialising = Promise.withResolvers<Negotiated>()
  readonly #initialised = Promise.withResolvers<InitReply>()
  readonly #ended = Promise.withResolvers<AttachedOutcome>()
  #detaching = false
  #over = false

  /** `send` hands a command to the server that serves the session at that moment. */
  constructor(attachment: Attachment, send: (command: Command) => void) {
    this.attachment = attachment
    this.#send = send
  }

  get fd(): number {
    return this.attachment.fd
  }

  get initialising(): Promise<Negotiated> {
    return this.#initialising.promise
  }

  get initialised(): Promise<InitReply> {
    return this.#initialised.promise
  }

  get ended(): Promise<AttachedOutcome> {
    return this.#ended.promise
  }

  /** Whether {@link detach} was called. */
  get detaching(): boolean {
    return this.#detaching
  }

  answerInit(): void {
    this.#send({ type: 'answer-init', id: this.attachment.id })
  }

  resend(): void {
    this.#send({ type: 'resend', id: this.attachment.id })
  }

  detach(): void {
    if (this.#detaching || this.#over) return
    this.#detaching = true
    this.#send({ type: 'detach', id: this.attachment.id })
  }

  /** Passes on what the server says about INIT. */
  initStep(event: Extract<ServerEvent, { type: 'initialising' | 'initialised' }>): void {
    if (event.type === 'initialising') this.#initialising.resolve(event.negotiated)
    else this.#initialised.resolve(event.reply)
  }

  /** Closes the descriptor, which no server reads any more, and resolves {@link ended}. */
  end(outcome: AttachedOutcome): void {
    this.#over = true
    closeSync(this.fd)
    this.#ended.resolve(outcome)
  }
}
