import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { compileC } from './compile.ts'
import { CHECKOUT_INSIDE, type Machine } from './nspawn.ts'
import { ROOT } from './paths.ts'
import type { Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/**
 * How the reader uses its file; test/peers/reader.c says what each does in a round. Readers of one mount share its page cache: where each
 * `mmap` round is to reach the daemon, nobody else may read that mount.
 */
export type ReaderMode = 'held' | 'reopen' | 'mmap' | 'cwd'

export interface ReaderOptions {
  readonly mode: ReaderMode
  readonly file: string
  /** Microseconds between two rounds; 1,000 if not given, 0 for none. */
  readonly intervalUs?: number
  /** Milliseconds that a round may take before it is a stall among the events; 10 if not given. */
  readonly stallLogMs?: number
  /** A file for a line per bad round and stall. */
  readonly events?: string
  /** Rounds after which it ends by itself. */
  readonly rounds?: number
  /** In a mount namespace of its own, which nothing propagates to or from. */
  readonly privateNamespace?: boolean
}

/** A length of time in nanoseconds, and when it began on CLOCK_MONOTONIC. */
interface Span {
  readonly ns: number
  readonly atNs: number
}

/** What a reader has counted; times are nanoseconds of CLOCK_MONOTONIC, null for what never happened. */
export interface ReaderSummary {
  readonly mode: ReaderMode
  readonly rounds: number
  readonly right: number
  readonly wrong: number
  /** By errno's name; SIGBUS for a page that could not be had. */
  readonly failed: Readonly<Record<string, number>>
  /** The longest that one round took. */
  readonly longestStall: Span
  /** The longest from one right round to the next, the interval included. */
  readonly longestGap: Span
  readonly firstRightNs: number | null
  readonly lastRightNs: number | null
  readonly firstBadNs: number | null
  readonly lastBadNs: number | null
  readonly startedNs: number
  readonly endedNs: number
  /** How long the round that goes on has taken; 0 between two. */
  readonly pendingNs: number
  readonly final: boolean
}

/** One line of the file of {@link ReaderOptions.events}. */
export type ReaderEvent = { readonly round: number; readonly atNs: number } & (
  | { readonly event: 'failed'; readonly errno: string; readonly call: string }
  | { readonly event: 'wrong'; readonly hex: string; readonly call: string }
  | { readonly event: 'stall'; readonly ns: number }
)

/** Compiles the reader, without any library that a machine might lack, and returns its path. */
export async function readerProgram(): Promise<string> {
  return await compileC(join(ROOT, 'test/peers/reader.c'), { static: true })
}

function args({ mode, file, intervalUs, stallLogMs, events, rounds }: ReaderOptions): string[] {
  const given = { mode, file, 'interval-us': intervalUs, 'stall-log': stallLogMs, events, rounds }
  return Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]))
}

function command(program: string, options: ReaderOptions): readonly [string, ...string[]] {
  const own = [program, ...args(options)] as const
  return options.privateNamespace === true ? ['unshare', '--mount', '--propagation', 'private', ...own] : own
}

function parse(text: string): ReaderSummary[] {
  const lines = text.split('\n').slice(0, -1)
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as ReaderSummary)
}

/** The events that a reader has written so far. */
export function readerEvents(file: string): ReaderEvent[] {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as ReaderEvent)
}

/** A C consumer in a sandbox: no garbage collector, no thread pool, nothing between it and the system calls it times. */
export class Reader {
  readonly #running: Running

  private constructor(running: Running) {
    this.#running = running
  }

  /** Starts it and resolves once it takes signals; it need not be able to read yet. */
  static async start(sandbox: Sandbox, options: ReaderOptions): Promise<Reader> {
    const [file, ...args] = command(await readerProgram(), options)
    const running = sandbox.start(file, args)
    await eventually(`the reader starts: ${running.output()}`, () => running.output().includes('started\n'))
    return new Reader(running)
  }

  get pid(): number {
    return this.#running.pid
  }

  /** Resolves after the first round that was right. */
  async reading(): Promise<void> {
    await eventually(`the reader reads: ${this.#running.output()}`, () => this.#running.output().includes('reading\n'))
  }

  /** What it has counted so far. */
  async progress(): Promise<ReaderSummary> {
    const before = parse(this.#running.output()).length
    this.#running.child.kill('SIGUSR1')
    return await eventually(`the reader tells: ${this.#running.output()}`, () => parse(this.#running.output())[before])
  }

  /** Resolves once a condition holds for what it has counted, which it then gives; throws after ten seconds, or `deadline` milliseconds. */
  async until(what: string, condition: (summary: ReaderSummary) => boolean, deadline?: number): Promise<ReaderSummary> {
    let last: ReaderSummary | undefined
    const holds = async (): Promise<ReaderSummary | undefined> => {
      last = await this.progress()
      return condition(last) ? last : undefined
    }
    try {
      return await eventually(what, holds, deadline)
    } catch (error) {
      throw new Error(`the reader: ${JSON.stringify(last)}`, { cause: error })
    }
  }

  /** Ends it, or waits until it has ended by itself, and gives what it has counted, also of one whose read hangs. */
  async summary({ ended = false } = {}): Promise<ReaderSummary> {
    if (!ended) this.#running.child.kill('SIGTERM')
    return await eventually(`the reader ends: ${this.#running.output()}`, () =>
      parse(this.#running.output()).find(({ final }) => final),
    )
  }
}

/** The same reader inside a machine, as a transient unit of its systemd; paths are those inside. */
export class MachineReader {
  readonly #machine: Machine
  readonly #unit: string

  private constructor(machine: Machine, unit: string) {
    this.#machine = machine
    this.#unit = unit
  }

  /** Starts it as the unit `NAME.service`. Its lines go to a file below /var/tmp, so that no journal stands between. */
  static async start(machine: Machine, name: string, options: ReaderOptions): Promise<MachineReader> {
    const reader = new MachineReader(machine, name)
    const program = join(CHECKOUT_INSIDE, relative(ROOT, await readerProgram()))
    const to = ['StandardOutput', 'StandardError'].map((stream) => `--property=${stream}=append:${reader.#output}`)
    const unit = ['--quiet', '--collect', `--unit=${name}`, '--property=KillMode=mixed', ...to]
    await machine.output('systemd-run', [...unit, '--', ...command(program, options)])
    await eventually(`${name} starts: ${reader.#said()}`, () => reader.#said().includes('started\n'))
    return reader
  }

  get #output(): string {
    return `/var/tmp/${this.#unit}.out`
  }

  #said(): string {
    const path = join(this.#machine.root, this.#output)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  /** Resolves after the first round that was right. */
  async reading(): Promise<void> {
    await eventually(`${this.#unit} reads: ${this.#said()}`, () => this.#said().includes('reading\n'), 30_000)
  }

  /** What it has counted so far. */
  async progress(): Promise<ReaderSummary> {
    const before = parse(this.#said()).length
    await this.#machine.systemctl('kill', '--kill-who=main', '--signal=USR1', this.#unit)
    return await eventually(`${this.#unit} tells: ${this.#said()}`, () => parse(this.#said())[before])
  }

  /** Ends it and gives what it has counted, also of one whose read hangs. */
  async summary(): Promise<ReaderSummary> {
    await this.#machine.systemctl('kill', '--kill-who=main', '--signal=TERM', this.#unit)
    return await eventually(`${this.#unit} ends: ${this.#said()}`, () => parse(this.#said()).find(({ final }) => final))
  }
}
