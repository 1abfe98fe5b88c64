import { type Acknowledgement, ACKNOWLEDGEMENTS } from '../consumer/acknowledgements.ts'
import type { AcknowledgedWrites } from '../matrix/lab-record.ts'

/** A file of records that were acknowledged. */
export interface WrittenFile {
  readonly file: string
  readonly by: Acknowledgement
  /** By their numbers, when they were, on the cell's clock. */
  readonly acknowledgedAt: readonly number[]
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
  readonly #files = new Map<string, WrittenFile & { readonly acknowledgedAt: number[] }>()
  readonly #attempts: Attempt[] = []

  /** Whether it tried to write anything. */
  get isEmpty(): boolean {
    return this.#attempts.length === 0
  }

  /** In the order in which they were made. */
  get files(): readonly WrittenFile[] {
    return [...this.#files.values()]
  }

  /** The next record of a file is acknowledged. */
  acknowledge(file: string, attempt: Omit<Attempt, 'refused'>): void {
    const known = this.#files.get(file) ?? { file, by: attempt.by, acknowledgedAt: [] }
    known.acknowledgedAt.push(attempt.atMs)
    this.#files.set(file, known)
    this.#attempts.push(attempt)
  }

  refuse(attempt: Required<Attempt>): void {
    this.#attempts.push(attempt)
  }

  /** By each acknowledgement, what came of the records; nothing is known yet of what was lost. */
  seen(sinceMs: number): readonly Omit<AcknowledgedWrites, 'lost' | 'lostBefore' | 'notInStorage'>[] {
    return ACKNOWLEDGEMENTS.map((by) => {
      const refused: Record<string, number> = {}
      let longestMs = 0
      for (const attempt of this.#attempts) {
        if (attempt.by !== by) continue
        if (attempt.refused !== undefined) refused[attempt.refused] = (refused[attempt.refused] ?? 0) + 1
        if (attempt.atMs >= sinceMs) longestMs = Math.max(longestMs, attempt.tookMs)
      }
      const own = this.files.filter((file) => file.by === by)
      return { by, acknowledged: own.reduce((sum, { acknowledgedAt }) => sum + acknowledgedAt.length, 0), refused, longestMs }
    })
  }
}
