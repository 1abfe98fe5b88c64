import { type Clock, toMonotonic } from '../os/clock.ts'
import type { Pod } from './pod.ts'

/**
 * Remembers since when volumes are inaccessible, in milliseconds of Clock.monotonic. The kubelet's lastTransitionTime alone does not tell: it is by the
 * clock of the node, and begins anew when the reason changes. So a change from accessible to inaccessible that was observed counts from the
 * observation at the earliest, and a volume that stays inaccessible keeps its time.
 */
export class InaccessibleSince {
  readonly #clock: Clock
  /** By the pod's uid and the volume's name; an empty map for a pod whose volumes are accessible. */
  readonly #pods = new Map<string, ReadonlyMap<string, number>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes what a pod's status says now. `accessibleUntil`: the time of Clock.monotonic at which what was observed before was still so. */
  observe({ uid, inaccessible }: Pod, accessibleUntil: number): void {
    const known = this.#pods.get(uid)
    const since = new Map<string, number>()
    for (const { name, lastTransition } of inaccessible) {
      const said = lastTransition === undefined ? this.#clock.monotonic() : toMonotonic(this.#clock, lastTransition)
      since.set(name, known?.get(name) ?? (known === undefined ? said : Math.max(said, accessibleUntil)))
    }
    this.#pods.set(uid, since)
  }

  /** Undefined if the volume was accessible at the last observation. */
  of(uid: string, volume: string): number | undefined {
    return this.#pods.get(uid)?.get(volume)
  }

  forget(uid: string): void {
    this.#pods.delete(uid)
  }
}
