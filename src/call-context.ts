/** Why a call ends before its work is done: its deadline comes, or its client is gone. */
export type CallEndKind = 'deadline' | 'cancelled'

/** The reason that a call's signal is aborted with. */
export class CallEnded extends Error {
  override readonly name = 'CallEnded'
  readonly kind: CallEndKind

  constructor(kind: CallEndKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** Whether it is a CallEnded, also one of another bundle's class. */
export function isCallEnded(error: unknown): error is CallEnded {
  return error instanceof Error && error.name === 'CallEnded' && 'kind' in error
}

/** The time that one call has. Every layer below the call's border takes it, and has no deadline beyond it. */
export interface CallContext {
  /** Aborted with {@link CallEnded} when the work must stop: at the deadline less the margin, or when the client is gone. */
  readonly signal: AbortSignal
  /** Milliseconds that the work has in all. */
  readonly time: number
  /** Milliseconds until the deadline aborts the signal; 0 once it is aborted. */
  remaining(): number
  /** Whether a client waits for it. Work that nobody waits for lets others start before it. */
  readonly awaited: boolean
  /** The time for undoing what the call began. It goes on after `signal` is aborted, and ends just before the answer is due. */
  readonly cleanUp: CallContext
  /** When a mount or a daemon that was asked counts as silent (performance.now()). Left out by a call that acts on the answer. */
  readonly silentAt?: number
}

/** The call as one that only asks: a mount or a daemon that has not answered within `time` milliseconds from now counts as silent. */
export function asQuestion(call: CallContext, time: number): CallContext {
  const { signal, time: all, awaited, cleanUp } = call
  return { signal, time: all, remaining: () => call.remaining(), awaited, cleanUp, silentAt: performance.now() + time }
}

/** Milliseconds until a mount or a daemon that was asked counts as silent; Infinity for a call that acts on the answer. */
export function timeToAnswer({ silentAt = Infinity }: CallContext): number {
  return Math.max(silentAt - performance.now(), 0)
}

/**
 * To be called before each step that another program may see. Throws the signal's reason, or {@link CallEnded} when the time is over and the timer
 * has not come to say so: a process that was stopped goes on with whatever came first.
 */
export function throwIfOver(call: Pick<CallContext, 'signal' | 'remaining'>): void {
  call.signal.throwIfAborted()
  if (call.remaining() <= 0) throw new CallEnded('deadline', "the call's deadline is over")
}

/** How long calls may take, in milliseconds. */
export interface CallLimits {
  /** The time of a call whose client names no deadline. */
  readonly standard: number
  /** The most time that a client's own deadline gives a call. */
  readonly longest: number
  /** The part of each call's time that is kept for undoing and answering; a fifth of the time where that is less. */
  readonly margin: number
}

/** The part of the margin that is kept for the answer itself. */
const ANSWER_SHARE = 0.1

/** A {@link CallContext} that runs. Dispose of it when the call is answered and its work is over. */
export class RunningCall implements CallContext, Disposable {
  readonly signal: AbortSignal
  readonly time: number
  readonly cleanUp: CallContext
  readonly #controller = new AbortController()
  readonly #workEnds: number
  readonly #timers: readonly NodeJS.Timeout[]
  #awaited: boolean
  #over = false

  /** `time`: milliseconds until the answer is due; 0 or less: the call has ended already. */
  constructor(time: number, limits: Pick<CallLimits, 'margin'>, awaited = true) {
    this.#awaited = awaited
    const margin = Math.min(limits.margin, time / 5)
    const now = performance.now()
    const undoing = new AbortController()
    this.#workEnds = now + time - margin
    const undoingTime = time - margin * ANSWER_SHARE
    const undoingEnds = now + undoingTime
    this.signal = this.#controller.signal
    this.time = Math.max(time - margin, 0)
    // An Error takes long to make, and most calls need none.
    const late = (): CallEnded =>
      new CallEnded('deadline', `the call's deadline of ${(Math.max(time, 0) / 1000).toFixed(1)} s is over`)
    // Both by one look at the clock: the time for undoing does not end before that for the work.
    this.#timers = [abortAfter(this.#controller, time - margin, late), abortAfter(undoing, undoingTime, late)].filter(
      (timer) => timer !== undefined,
    )
    const cleanUp: CallContext = {
      signal: undoing.signal,
      time: Math.max(undoingEnds - now, 0),
      remaining: () => remainingUntil(undoingEnds, undoing.signal),
      awaited: true,
      get cleanUp() {
        return cleanUp
      },
    }
    this.cleanUp = cleanUp
  }

  get awaited(): boolean {
    return this.#awaited
  }

  remaining(): number {
    return remainingUntil(this.#workEnds, this.signal)
  }

  /** From now on a client waits for it. */
  hurry(): void {
    this.#awaited = true
  }

  /** The client is gone: the work stops at its next step. What it began is still undone. Nothing happens when the work is over. */
  cancel(): void {
    if (this.#over) return
    this.#controller.abort(new CallEnded('cancelled', 'the client has cancelled the call'))
  }

  [Symbol.dispose](): void {
    this.#over = true
    for (const timer of this.#timers) clearTimeout(timer)
  }
}

function abortAfter(controller: AbortController, delay: number, reason: () => CallEnded): NodeJS.Timeout | undefined {
  if (delay > 0) return setTimeout(() => controller.abort(reason()), delay).unref()
  controller.abort(reason())
  return undefined
}

function remainingUntil(time: number, signal: AbortSignal): number {
  return signal.aborted ? 0 : Math.max(time - performance.now(), 0)
}

/**
 * Settles as `work` does, or rejects with the signal's reason once that is aborted. `work` itself goes on; what it rejects with after that is ignored, also where
 * the signal was aborted before.
 */
export async function unlessAborted<T>(work: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => {
    reject(signal.reason as Error)
  }
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, work])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
