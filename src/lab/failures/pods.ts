import type { Harness, PodControl } from '../cell/harness.ts'

/** The pods of a cell whose failure replaces them. Throws an Error where the lab cannot. */
export function podsOf({ pods }: Harness): PodControl {
  if (pods === undefined) throw new Error('the lab does not delete pods of this volume')
  return pods
}
