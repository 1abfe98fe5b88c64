import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import type { Killable } from './kill-after.ts'
import { settledWithin } from './settled-within.ts'

/** How a process ended: one of them is not null, unless only another process learned it (wait(2) tells the parent alone). */
export interface ProcessEnd {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

/** An end for people: `exit status 3`, `SIGKILL`, or `unknown status`, which is also that of a process that was never started. */
export function describeEnd(end: ProcessEnd | undefined): string {
  const { status = null, signal = null } = end ?? {}
  return signal ?? (status === null ? 'unknown status' : `exit status ${status}`)
}

type Stdio = 'ignore' | 'pipe' | 'inherit'

/** How a program is started. */
export interface ChildCommand {
  readonly file: string
  readonly args: readonly string[]
  /** The name that it is called by; its file if not given. */
  readonly argv0?: string
  /** Its whole environment; a copy of this process's if not given. */
  readonly env?: NodeJS.ProcessEnv
  /** Variables that its environment has beside those. */
  readonly variables?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** In a session, and so a process group, of its own. */
  readonly detached?: boolean
  /** Its descriptors from 0 up: a number is a descriptor of this process. One word is for 0, 1 and 2. */
  readonly stdio: Stdio | readonly (Stdio | number)[]
}

/**
 * A program that this process has started. All programs are started by this class. Every failure to start (ENOENT, EMFILE, E2BIG) rejects
 * {@link ended} and {@link closed}; node:child_process throws some of them and tells others by an event, with or without streams.
 */
export class ChildProgram implements Killable {
  /** Resolves when the process has ended. Its last output may not be read yet. Rejects with Node's error if it was not started. */
  readonly ended: Promise<ProcessEnd>
  /** Resolves when it has ended and all its output has been read, also that of descendants which have its descriptors. Rejects as `ended` does. */
  readonly closed: Promise<ProcessEnd>
  readonly #child: ChildProcess | undefined

  /** Never throws. */
  constructor({ file, args, stdio, variables = {}, env = process.env, ...options }: ChildCommand) {
    const ended = Promise.withResolvers<ProcessEnd>()
    const closed = Promise.withResolvers<ProcessEnd>()
    const failed = (error: unknown): void => {
      ended.reject(error)
      closed.reject(error)
    }
    this.ended = ended.promise
    this.closed = closed.promise
    // The caller need not wait for the end.
    this.ended.catch(() => undefined)
    this.closed.catch(() => undefined)
    try {
      this.#child = spawn(file, args, {
        ...options,
        env: { ...env, ...variables },
        stdio: typeof stdio === 'string' ? stdio : [...stdio],
      })
    } catch (error) {
      failed(error)
      return
    }
    const { pid } = this.#child
    this.#child.on('error', (error) => {
      // A signal that cannot be sent is an `error` too, and no end.
      if (pid === undefined) failed(error)
    })
    this.#child.on('exit', (status, signal) => {
      ended.resolve({ status, signal })
    })
    this.#child.on('close', (status, signal) => {
      closed.resolve({ status, signal })
    })
  }

  /** 0 if it was not started. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** How it ended; undefined while it runs, and if it was not started. */
  get end(): ProcessEnd | undefined {
    const { exitCode: status = null, signalCode: signal = null } = this.#child ?? {}
    return this.pid === 0 || (status === null && signal === null) ? undefined : { status, signal }
  }

  /** Our ends of its pipes; undefined where it has none, and if it was not started. */
  get stdin(): Writable | undefined {
    return this.#pipe(0) as Writable | undefined
  }

  get stdout(): Readable | undefined {
    return this.#pipe(1) as Readable | undefined
  }

  get stderr(): Readable | undefined {
    return this.#pipe(2) as Readable | undefined
  }

  /** Our end of the socket pair at its descriptor 3. */
  get channel(): Socket | undefined {
    return this.#pipe(3) as Socket | undefined
  }

  async endsWithin(time: number): Promise<boolean> {
    return (await settledWithin(this.ended, time)) !== 'late'
  }

  kill(): void {
    this.signal('SIGKILL')
  }

  /** Sends it a signal, unless it has ended. */
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  /** Has it not keep this process's event loop running. */
  unref(): void {
    this.#child?.unref()
  }

  /** Reads no more of its output, and does not wait for it any longer. */
  abandon(): void {
    this.unref()
    this.stdout?.destroy()
    this.stderr?.destroy()
  }

  #pipe(fd: number): unknown {
    // Without a descriptor left (EMFILE) there is a child without streams.
    const stdio = this.#child?.stdio as readonly unknown[] | undefined
    return stdio?.[fd] ?? undefined
  }
}
