import { messageOf } from '../errors.ts'
import { VolumeError, type VolumeErrorKind } from './errors.ts'

/** Failures that are remembered: the oldest is forgotten first, because not every CO takes off what it could not mount. */
const MOST = 1000

/** What a call was made for: a target and the staging path that it is bound from, or a staging path alone. */
export interface MountPlace {
  readonly volumeId: string
  readonly staging: string
  readonly target?: string
}

/** A call that failed, and why. */
export interface Failure extends MountPlace {
  readonly message: string
}

/** Remembers why a volume could last not be staged or published at a path: its health may be asked for although it is not mounted there. */
export class Failures {
  readonly #last = new Map<string, Failure>()

  /** Runs a call for a path and keeps its failure until one succeeds. A target that was bound ends a failure of its staging path too. */
  async watch<T>(place: MountPlace, act: () => Promise<T>): Promise<T> {
    try {
      const result = await act()
      const { volumeId, staging } = place
      this.#last.delete(keyOf(place))
      this.#last.delete(keyOf({ volumeId, staging }))
      return result
    } catch (error) {
      if (isCallers(error)) throw error
      this.#last.delete(keyOf(place))
      this.#last.set(keyOf(place), { ...place, message: messageOf(error) })
      const [oldest] = this.#last.keys()
      if (this.#last.size > MOST && oldest !== undefined) this.#last.delete(oldest)
      throw error
    }
  }

  /** The failures of a volume, at whatever path. */
  of(volumeId: string): readonly Failure[] {
    return [...this.#last.values()].filter((failure) => failure.volumeId === volumeId)
  }

  /** Forgets the failure of a target; to be called when it is unpublished. */
  unpublished(volumeId: string, target: string): void {
    this.#forget((failure) => failure.volumeId === volumeId && failure.target === target)
  }

  /** Forgets the failures of a staging path, and of the targets that were to be bound from it; to be called when it is unstaged. */
  unstaged(volumeId: string, staging: string): void {
    this.#forget((failure) => failure.volumeId === volumeId && failure.staging === staging)
  }

  #forget(isOver: (failure: Failure) => boolean): void {
    for (const [key, failure] of this.#last) if (isOver(failure)) this.#last.delete(key)
  }
}

function keyOf({ volumeId, staging, target }: MountPlace): string {
  return JSON.stringify(target === undefined ? [volumeId, 'staging', staging] : [volumeId, 'target', target])
}

/** A call with a wrong request says nothing about the volume, which may be healthy. */
const CALLERS: ReadonlySet<VolumeErrorKind> = new Set(['invalid', 'missing', 'conflict', 'precondition', 'busy'])

function isCallers(error: unknown): boolean {
  return error instanceof VolumeError && CALLERS.has(error.kind)
}
