import { createInterface } from 'node:readline'
import type { Running } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** Milliseconds before a program that failed is started again. */
const PAUSE = 200

/** Hears how a program ended by itself, which it is not to do. */
type OnFailure = (how: string) => void

/** A program to be supervised. */
export interface Supervision {
  /** For people. */
  readonly name: string
  readonly start: () => Running
  /** Hears of each end but those by SIGKILL, those by SIGTERM, which may come before it is handled, and those with status 0. */
  readonly failed: OnFailure
  /** Hears each line that it writes, and which process it is. */
  readonly heard: (pid: number, line: string) => void
}

/** A program that is started again whenever it ends, as a container's restart policy has it. */
export class Supervised {
  readonly #supervision: Supervision
  #running: Running
  #log = ''
  #ending = false
  #timer: NodeJS.Timeout | undefined

  constructor(supervision: Supervision) {
    this.#supervision = supervision
    this.#running = this.#begin()
  }

  get pid(): number {
    return this.#running.pid
  }

  /** What it has written in this life and in the one before. */
  log(): string {
    return this.#log + this.#running.output()
  }

  /** SIGTERM, for good. Resolves to its exit status; throws if it goes on. */
  async stop(): Promise<number | null> {
    this.#ending = true
    clearTimeout(this.#timer)
    const { child } = this.#running
    child.kill('SIGTERM')
    await eventually(
      `${this.#supervision.name} ends after SIGTERM; it said: ${this.log().slice(-2000)}`,
      () => child.exitCode !== null || child.signalCode !== null,
      30_000,
    )
    return child.exitCode
  }

  #begin(): Running {
    const { name, start, failed, heard } = this.#supervision
    const running = start()
    for (const stream of [running.child.stdout, running.child.stderr])
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => heard(running.pid, line))
    // 'close' would wait for daemons that hold the same pipe.
    running.child.once('exit', (status, signal) => {
      if (this.#ending) return
      const well = signal === 'SIGKILL' || signal === 'SIGTERM' || status === 0
      if (!well) failed(`${name} ended by ${signal ?? `exit status ${status ?? -1}`}: ${tail(running.output())}`)
      this.#timer = setTimeout(() => this.#again(), well ? 0 : PAUSE)
    })
    return running
  }

  #again(): void {
    this.#log = this.#running.output()
    this.#running = this.#begin()
  }
}

function tail(text: string): string {
  return text.trimEnd().split('\n').slice(-4).join(' | ')
}
