import type { InitReply } from '../protocol/replies.ts'
import type { Negotiated } from './negotiated.ts'
import type { SessionOutcome } from './session.ts'

/** A session to be served: its device's descriptor, open and non-blocking. */
export interface Attachment {
  readonly id: string
  readonly fd: number
  /** Mount options, checked. */
  readonly options: readonly string[]
  /** Faults to inject, as `--inject` takes them, checked. */
  readonly faults: readonly string[]
  /** Whether a predecessor may have read requests that it did not answer. */
  readonly resend: boolean
  /** Whether INIT is answered only at the command `answer-init`. */
  readonly holdInit: boolean
  /** Whether another process has served the session before: what it had in memory is lost. */
  readonly inherited?: true
  /** The session's requests that were read elsewhere in this process, by their opcode's name. */
  readonly counts?: Readonly<Record<string, number>>
}

/** A command for a server of sessions. The answers are `detached` to `detach`, `inspection` to `inspect` and `drained` to `drain`. */
export type Command =
  | { readonly type: 'attach'; readonly session: Attachment }
  | { readonly type: 'answer-init'; readonly id: string }
  /** Reads no more of a session. What it has read is still answered. */
  | { readonly type: 'detach'; readonly id: string }
  /** Asks the kernel for a session's requests again that were read, here or elsewhere, and not answered. */
  | { readonly type: 'resend'; readonly id: string }
  | { readonly type: 'inspect'; readonly token: number; readonly id: string | undefined }
  /** Reads no more of any session, and answers what has been read. */
  | { readonly type: 'drain' }
  | { readonly type: 'stop' }

/** An event of a server of sessions. */
export type ServerEvent =
  | { readonly type: 'up' }
  | { readonly type: 'initialising'; readonly id: string; readonly negotiated: Negotiated }
  | { readonly type: 'initialised'; readonly id: string; readonly reply: InitReply }
  | { readonly type: 'ended'; readonly id: string; readonly outcome: SessionOutcome }
  | { readonly type: 'detached'; readonly id: string }
  | { readonly type: 'warning' | 'trace'; readonly id: string; readonly text: string }
  | { readonly type: 'inspection'; readonly token: number; readonly inspection: Inspection | undefined }
  | { readonly type: 'drained' }

/** What a session has done so far in this process. */
export interface Inspection {
  /** Requests by their opcode's name. */
  readonly counts: Readonly<Record<string, number>>
  /** Requests whose answer the file system still owes. */
  readonly pending: number
}
