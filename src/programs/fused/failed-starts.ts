import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Starts in a row that may fail before it is waited. */
const MOST = 3
/** Milliseconds: the first wait, and the longest. */
const FIRST = 1000
const LONGEST = 30_000

/** Counts starts that came to nothing, over processes: whoever restarts us does so at once, and would do nothing else. */
export class FailedStarts {
  readonly #file: string

  constructor(stateDir: string) {
    this.#file = join(stateDir, 'failed-starts')
  }

  /** This start counts as failed until {@link forget}. */
  count(): void {
    try {
      mkdirSync(join(this.#file, '..'), { recursive: true, mode: 0o700 })
      writeFileSync(this.#file, String(this.#read() + 1))
    } catch {
      // What is wrong with the folder is told by whoever needs it.
    }
  }

  forget(): void {
    rmSync(this.#file, { force: true })
  }

  /** Waits before a process that failed ends, once that has happened too often; `told` cuts it short. */
  async wait(told: Promise<unknown>): Promise<void> {
    const count = this.#read()
    if (count < MOST) return
    const time = Math.min(FIRST * 2 ** (count - MOST), LONGEST)
    process.stderr.write(`dummy-fused: ${count} starts in a row have failed; waiting ${time / 1000} s before the next\n`)
    await Promise.race([sleep(time), told])
  }

  /** Without a count there is no telling; then it is waited each time. */
  #read(): number {
    try {
      return Number(readFileSync(this.#file, 'utf8')) || 0
    } catch {
      return 0
    }
  }
}
