import type { Harness, PodControl } from '../cell/harness.ts'

/** Starts the plugin again, as its controller does, if it was the process that answered and was killed. */
export async function pluginAgain({ plugin }: Harness): Promise<void> {
  if ((await plugin.pids()).length === 0) await plugin.start()
}

/** The pods of a cell whose failure replaces them. Throws an Error where the lab cannot. */
export function podsOf({ pods }: Harness): PodControl {
  if (pods === undefined) throw new Error('the lab does not delete pods of this volume')
  return pods
}
