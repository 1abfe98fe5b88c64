import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import { Backoff } from '../../os/backoff.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { oneLine } from '../../printable.ts'
import { FAILED_START_LIMITS } from './limits.ts'

/** Counts starts that failed, over processes: a service manager that restarts a program at once would do nothing else. */
export class FailedStarts {
  readonly #file: string
  /** This start included. */
  #count: number | { readonly unknown: string } = 0

  constructor(stateDir: string) {
    this.#file = join(stateDir, 'failed-starts')
  }

  /** This start counts as failed until {@link forget}. */
  count(): void {
    try {
      makeDirectories(dirname(this.#file), 0o700)
      this.#count = this.#read() + 1
      writeFileSync(this.#file, String(this.#count))
    } catch (error) {
      this.#count = { unknown: messageOf(error) }
    }
  }

  /** This start has succeeded. A count that cannot be removed makes a later start wait sooner, and ends nothing. */
  forget(log: Logger): void {
    try {
      rmSync(this.#file, { force: true })
    } catch (error) {
      log.warning(`cannot remove ${this.#file}: ${messageOf(error)}`)
    }
  }

  /**
   * Waits before a process that failed ends, once that has happened too often; `stopSignal` cuts it short. Where starts cannot be counted it waits
   * the first wait's time each time: such a start may be the thousandth.
   */
  async wait(stopSignal: Promise<unknown>): Promise<void> {
    const time = this.#time()
    if (time === 0) return
    const why =
      typeof this.#count === 'number'
        ? `${this.#count} starts in a row have failed`
        : `failed starts cannot be counted (${this.#count.unknown})`
    process.stderr.write(`dummy-fused: ${oneLine(why)}; waiting ${time / 1000} s before the next\n`)
    await Promise.race([sleep(time), stopSignal])
  }

  #time(): number {
    const backoff = new Backoff(FAILED_START_LIMITS)
    const { free } = FAILED_START_LIMITS
    return backoff.after(typeof this.#count === 'number' ? Math.max(this.#count - free + 1, 0) : 1)
  }

  /** 0 for a file that is missing or holds no number. Throws Node's error. */
  #read(): number {
    try {
      return Number(readFileSync(this.#file, 'utf8')) || 0
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return 0
      throw error
    }
  }
}
