import { type Acknowledgement, ACKNOWLEDGEMENTS } from '../consumer/acknowledgements.ts'
import type { AcknowledgedWrites } from '../matrix/lab-record.ts'

/** A file of records, the first `count` of which were acknowledged. */
export interface WrittenFile {
  readonly file: string
  readonly by: Acknowledgement
  readonly count: number
}

/** A record that was refused, or acknowledged. Times on the cell's clock. */
interface Attempt {
  readonly by: Acknowledgement
  readonly atMs: number
  readonly tookMs: number
  /** The errno's name. */
  readonly refused?: string
}

/** Every record that one consumer wrote or tried to write, over its restarts. */
export class WriteLog {
  readonly #files = new Map<string, WrittenFile>()
  readonly #attempts: Attempt[] = []

  /** Whether it tried to write anything. */
  get isEmpty(): boolean {
    return this.#attempts.length === 0
  }

  /** In the order in which they were made. */
  get files(): readonly WrittenFile[] {
    return [...this.#files.values()]
  }

  /** The record of this number, and all before it in its file, are acknowledged. */
  acknowledge(file: string, number: number, attempt: Omit<Attempt, 'refused'>): void {
    this.#files.set(file, { file, by: attempt.by, count: number + 1 })
    this.#attempts.push(attempt)
  }

  refuse(attempt: Required<Attempt>): void {
    this.#attempts.push(attempt)
  }

  /** By each acknowledgement, what came of the records; nothing is known yet of what was lost. */
  seen(sinceMs: number): readonly Omit<AcknowledgedWrites, 'lost' | 'notInStorage'>[] {
    return ACKNOWLEDGEMENTS.map((by) => {
      const refused: Record<string, number> = {}
      let longestMs = 0
      for (const attempt of this.#attempts) {
        if (attempt.by !== by) continue
        if (attempt.refused !== undefined) refused[attempt.refused] = (refused[attempt.refused] ?? 0) + 1
        if (attempt.atMs >= sinceMs) longestMs = Math.max(longestMs, attempt.tookMs)
      }
      const own = this.files.filter((file) => file.by === by)
      return { by, acknowledged: own.reduce((sum, { count }) => sum + count, 0), refused, longestMs }
    })
  }
}
