import type { InaccessibleVolume, Pod } from './pod.ts'

/** An inaccessible volume as it was observed last. */
interface Observed {
  readonly volume: InaccessibleVolume
  /** Milliseconds of Clock.monotonic. */
  readonly since: number
}

/**
 * Remembers since when volumes are inaccessible, in milliseconds of Clock.monotonic: since they were observed so first. The kubelet's lastTransitionTime
 * does not tell: it is by the clock of the node, which may be behind. It tells times of one node apart, and so shows recoveries that were not observed.
 */
export class InaccessibleSince {
  /** By the pod's uid and the volume's name; an empty map for a pod whose volumes are accessible. */
  readonly #pods = new Map<string, ReadonlyMap<string, Observed>>()

  /**
   * Takes what a pod's status says at a time of Clock.monotonic. `afterGap`: it may have changed more than once since it was taken before.
   */
  observe({ uid, inaccessible }: Pod, now: number, afterGap: boolean): void {
    const known = this.#pods.get(uid)
    const observed = new Map<string, Observed>()
    for (const volume of inaccessible) {
      const before = known?.get(volume.name)
      const stayed = before !== undefined && hasStayed(before.volume, volume, afterGap)
      observed.set(volume.name, { volume, since: stayed ? before.since : now })
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
