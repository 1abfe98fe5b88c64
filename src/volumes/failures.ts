import { messageOf } from '../errors.ts'
import { VolumeError, type VolumeErrorKind } from './errors.ts'

/** Volumes whose failure is remembered: the oldest is forgotten first, because not every CO unstages what it could not stage. */
const MOST = 1000

/** Remembers why a volume could last not be staged or published: its health may be asked for although it is nowhere mounted. */
export class Failures {
  readonly #last = new Map<string, string>()

  /** Runs an operation of a volume and keeps its failure until one succeeds. */
  async watch<T>(volumeId: string, act: () => Promise<T>): Promise<T> {
    try {
      const result = await act()
      this.#last.delete(volumeId)
      return result
    } catch (error) {
      if (isCallers(error)) throw error
      this.#last.delete(volumeId)
      this.#last.set(volumeId, messageOf(error))
      const [oldest] = this.#last.keys()
      if (this.#last.size > MOST && oldest !== undefined) this.#last.delete(oldest)
      throw error
    }
  }

  of(volumeId: string): string | undefined {
    return this.#last.get(volumeId)
  }

  forget(volumeId: string): void {
    this.#last.delete(volumeId)
  }
}

/** A call with a wrong request says nothing about the volume, which may be healthy. */
const CALLERS: ReadonlySet<VolumeErrorKind> = new Set(['invalid', 'missing', 'conflict', 'precondition', 'busy'])

function isCallers(error: unknown): boolean {
  return error instanceof VolumeError && CALLERS.has(error.kind)
}
