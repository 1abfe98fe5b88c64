import { type Clock, toMonotonic } from '../os/clock.ts'
import type { InaccessibleVolume, Pod } from './pod.ts'

/** An inaccessible volume as it was observed last. */
interface Observed {
  readonly volume: InaccessibleVolume
  /** Milliseconds of Clock.monotonic. */
  readonly since: number
}

/**
 * Remembers since when volumes are inaccessible, in milliseconds of Clock.monotonic. The kubelet's lastTransitionTime alone does not tell: it is by the
 * clock of the node, and begins anew when the reason changes. So a change from accessible to inaccessible that was observed counts from the
 * observation at the earliest, and a volume that stays inaccessible keeps its time.
 */
export class InaccessibleSince {
  readonly #clock: Clock
  /** By the pod's uid and the volume's name; an empty map for a pod whose volumes are accessible. */
  readonly #pods = new Map<string, ReadonlyMap<string, Observed>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Takes what a pod's status says now. `accessibleUntil`: the time of Clock.monotonic at which what was observed before was still so. `afterGap`: the
   * status may have changed more than once since then.
   */
  observe({ uid, inaccessible }: Pod, accessibleUntil: number, afterGap: boolean): void {
    const known = this.#pods.get(uid)
    const observed = new Map<string, Observed>()
    for (const volume of inaccessible) {
      const { name, lastTransition } = volume
      const before = known?.get(name)
      const said = lastTransition === undefined ? this.#clock.monotonic() : toMonotonic(this.#clock, lastTransition)
      const since = known === undefined ? said : Math.max(said, accessibleUntil)
      const stayed = before !== undefined && hasStayed(before.volume, volume, afterGap)
      observed.set(name, { volume, since: stayed ? before.since : since })
    }
    this.#pods.set(uid, observed)
  }

  /** Undefined if the volume was accessible at the last observation. */
  of(uid: string, volume: string): number | undefined {
    return this.#pods.get(uid)?.get(volume)?.since
  }

  forget(uid: string): void {
    this.#pods.delete(uid)
  }
}

/**
 * Whether a volume has not been accessible in between. The kubelet writes a time if the conditions differ from those before, so the same conditions of
 * another time were interrupted.
 */
function hasStayed(before: InaccessibleVolume, now: InaccessibleVolume, afterGap: boolean): boolean {
  return before.conditions === now.conditions ? before.lastTransition === now.lastTransition : !afterGap
}
