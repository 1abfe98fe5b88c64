import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { wake } from '../../os/descriptors/eventfd.ts'
import type { Libc } from '../../os/libc.ts'
import { AttachedSession, type AttachedOutcome, type RunningSession, type SessionRunner } from './attached-session.ts'
import type { Attachment, Command, Inspection, ServerEvent } from './messages.ts'
import { sessionSettings } from './mount-options.ts'
import { type MakeFileSystem, SessionServer } from './server.ts'
import type { ThreadData } from './thread.ts'

/** Milliseconds for which this thread waits for requests at a time, while the serving thread starts. Node's event loop runs in between. */
const TICK = 1

/** The dependencies of {@link SessionEngine}. */
export interface EngineParts {
  readonly libc: Libc
  readonly filesystem: MakeFileSystem
  /** Starts the thread that runs serveInThread(). */
  readonly startThread: (data: ThreadData) => Worker
  /** Milliseconds for which a device is polled after a request; 0: never. */
  readonly pollTime: number
  /** Milliseconds that the serving thread may take to stop. */
  readonly stopTime: number
  /** A warning, or a line for `-d`, of one session. */
  readonly say: (kind: 'warning' | 'trace', id: string, text: string) => void
  /** The serving thread has ended, and no session is served any more. */
  readonly onLost: (error: Error) => void
}

interface EngineSession {
  readonly session: AttachedSession
  /** Where its requests are read. */
  at: 'here' | 'thread'
}

/**
 * Serves sessions in a thread of its own, so that the caller's is free for signals and calls. A thread takes longer to start than a consumer should
 * wait for its successor, so that until it is up the sessions are served right here. A session with a file system in memory is served by the thread alone,
 * because it cannot move.
 */
export class SessionEngine implements SessionRunner {
  readonly #parts: EngineParts
  readonly #sessions = new Map<string, EngineSession>()
  readonly #wakeThread: number
  readonly #here: SessionServer
  readonly #inspections = new Map<number, (inspection: Inspection | undefined) => void>()
  readonly #upPromise = Promise.withResolvers<undefined>()
  readonly #stopped = new Int32Array(new SharedArrayBuffer(4))
  /** Commands for the serving thread that came before it was started. */
  readonly #early: Command[] = []
  #thread: Worker | undefined
  #up = false
  #pumping = false
  #stopping = false
  #drains: { missing: number; done: () => void } | undefined
  #token = 0

  constructor(parts: EngineParts) {
    this.#parts = parts
    const { libc, filesystem, pollTime } = parts
    this.#wakeThread = libc.eventfd()
    const emit = (event: ServerEvent): void => {
      this.#on(event, 'here')
    }
    this.#here = new SessionServer({ libc, filesystem, pollTime, emit })
    // Exiting Node does not interrupt a thread that is blocked in a system call: the serving thread, or a thread whose mount(2) waits for INIT.
    process.once('exit', () => {
      this.stop()
    })
  }

  attach(attachment: Attachment): RunningSession {
    const { id } = attachment
    const session = new AttachedSession(attachment, (command) => {
      this.#send(entry.at, command)
    })
    const isInMemory = sessionSettings(attachment.options).writable !== undefined
    // To ask the thread for an INIT, and to tell it what to answer, is slower than to see to it here.
    const entry: EngineSession = { session, at: isInMemory || (this.#up && !attachment.holdInit) ? 'thread' : 'here' }
    this.#sessions.set(id, entry)
    this.#send(entry.at, { type: 'attach', session: attachment })
    if (entry.at === 'here' || this.#thread === undefined) this.#pump()
    return session
  }

  /** The requests of the named session. Without a session, the answer shows only that the serving thread is alive. */
  async inspect(id?: string): Promise<Inspection | undefined> {
    const token = ++this.#token
    return await new Promise((resolve) => {
      this.#inspections.set(token, resolve)
      const at = this.#sessions.get(id ?? '')?.at ?? (this.#up ? 'thread' : 'here')
      this.#send(at, { type: 'inspect', token, id })
    })
  }

  /** Resolves when the serving thread has taken over; until then sessions are served in the caller's. */
  get up(): Promise<void> {
    // Sessions that are served here are served first.
    if (this.#thread === undefined && !this.#pumping) this.#begin()
    return this.#upPromise.promise
  }

  /**
   * Reads no more requests of any session. Resolves when those that were read are answered, at the latest after `deadline` milliseconds, to whether
   * they are.
   */
  async drain(deadline: number): Promise<boolean> {
    const inThread = this.#up || [...this.#sessions.values()].some(({ at }) => at === 'thread')
    const drained = new Promise<void>((resolve) => {
      this.#drains = { missing: inThread ? 2 : 1, done: resolve }
      this.#send('here', { type: 'drain' })
      this.#pump()
      if (inThread) this.#send('thread', { type: 'drain' })
    })
    return (await Promise.race([drained, sleep(deadline, 'late' as const, { ref: false })])) !== 'late'
  }

  /**
   * Ends the serving thread, so that the process can exit. Callable while it exits: it waits, for then the thread is ended next. A thread that is
   * ended while it loads an addon takes the process with it (SIGABRT).
   */
  stop(): void {
    this.#stopping = true
    this.#here.obey({ type: 'stop' })
    if (this.#thread === undefined) return
    this.#send('thread', { type: 'stop' })
    Atomics.wait(this.#stopped, 0, 0, this.#parts.stopTime)
  }

  #send(at: EngineSession['at'], command: Command): void {
    if (at === 'here') {
      this.#here.obey(command)
      return
    }
    if (this.#thread === undefined) {
      this.#early.push(command)
      return
    }
    this.#thread.postMessage(command)
    wake(this.#wakeThread)
  }

  #on(event: ServerEvent, at: EngineSession['at']): void {
    switch (event.type) {
      case 'up':
        this.#up = true
        for (const entry of this.#sessions.values()) this.#handOver(entry)
        this.#upPromise.resolve(undefined)
        return
      case 'inspection':
        this.#inspections.get(event.token)?.(event.inspection)
        this.#inspections.delete(event.token)
        return
      case 'drained':
        if (this.#drains !== undefined && --this.#drains.missing === 0) this.#drains.done()
        return
      case 'warning':
      case 'trace':
        this.#parts.say(event.type, event.id, event.text)
        return
      case 'initialising':
      case 'initialised':
      case 'ended':
      case 'detached': {
        const entry = this.#sessions.get(event.id)
        if (entry !== undefined) this.#onSession(event, entry, at)
      }
    }
  }

  #onSession(
    event: Extract<ServerEvent, { type: 'initialising' | 'initialised' | 'ended' | 'detached' }>,
    entry: EngineSession,
    at: EngineSession['at'],
  ): void {
    switch (event.type) {
      case 'initialising':
        entry.session.initStep(event)
        return
      case 'initialised':
        entry.session.initStep(event)
        this.#handOver(entry)
        return
      case 'ended':
        this.#end(entry, event.outcome)
        return
      case 'detached':
        // A session that is handed over is detached here only.
        if (entry.session.detaching && at === entry.at) this.#end(entry, { kind: 'detached' })
    }
  }

  #end({ session }: EngineSession, outcome: AttachedOutcome): void {
    const { id } = session.attachment
    this.#sessions.delete(id)
    this.#here.abandon(id)
    session.end(outcome)
  }

  /** The thread that has read INIT answers it. All other requests that were read here are answered here too. */
  #handOver(entry: EngineSession): void {
    const { attachment, detaching } = entry.session
    if (!this.#up || entry.at === 'thread' || detaching || this.#here.holdsInit(attachment.id)) return
    const counts = this.#here.counts(attachment.id)
    this.#here.obey({ type: 'detach', id: attachment.id })
    entry.at = 'thread'
    this.#send('thread', { type: 'attach', session: { ...attachment, resend: false, counts } })
  }

  /** Serves in this thread, between its other work, while a session is served here. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    const turn = (): void => {
      if (!this.#stopping && !this.#here.busy && this.#early.length > 0) this.#begin()
      if (this.#stopping || !this.#here.busy) {
        this.#pumping = false
        return
      }
      this.#here.turn(this.#here.awaited > 0 ? 0 : TICK)
      if (this.#thread === undefined) this.#begin()
      setImmediate(turn)
    }
    // Not in the middle of a takeover: to start the thread takes longer than to attach all others, and their consumers would wait for it.
    queueMicrotask(turn)
  }

  #begin(): void {
    const { startThread, pollTime, onLost } = this.#parts
    const thread = startThread({ wakeFd: this.#wakeThread, pollTime, stopped: this.#stopped })
    this.#thread = thread
    thread.on('message', (event: ServerEvent) => {
      this.#on(event, 'thread')
    })
    thread.on('error', onLost)
    thread.on('exit', () => {
      if (!this.#stopping) onLost(new Error('the thread that serves has ended'))
    })
    for (const command of this.#early.splice(0)) this.#send('thread', command)
  }
}
