import type { Failure } from '../failures/failure.ts'
import type { Volume } from '../kubelet.ts'
import { mitigationOf } from '../mitigations.ts'
import { KUBELET, stagingPath } from '../node-paths.ts'
import type { Narrator, ScenarioCell, ScenarioNode } from '../scenario.ts'
import { podOf } from './steps.ts'

/** What is mounted below the kubelet's folder: what part of which file system, where, and of which type. */
export const MOUNT_TABLE = `awk '$5 ~ "^${KUBELET}/(plugins|pods)" { for (i = 7; $i != "-"; i++); print $5, "shows", $4, "of", $(i + 1) }' /proc/self/mountinfo`

/** One half of a scenario: a cell with a volume of its own, whose plugin runs and is registered. The pods are not started. */
export async function startHalf(
  node: ScenarioNode,
  { failure, mitigation, pods, volume }: { failure: Failure; mitigation: string; pods: readonly string[]; volume: Volume },
): Promise<ScenarioCell> {
  const consumers = pods.map((name) => podOf(name))
  const cell = node.setUp({ failure, mitigation: mitigationOf(mitigation), consumers, volume })
  await cell.plugin.start(failure.flaw?.(cell.patience.mountDelay))
  await cell.kubelet.register()
  return cell
}

/** Shows what is mounted on the node and returns it, a line each: `PATH shows ROOT of TYPE`. */
export async function seeMounts({ shell }: Narrator): Promise<string> {
  const { output } = await shell.onNode(MOUNT_TABLE)
  return output
}

/** Shows the files on the node's own disk below the staging path, whatever is mounted over it, and returns them. */
export async function seeDisk({ shell }: Narrator, volume: Volume): Promise<string> {
  const beneath = `${KUBELET}/tmp/beneath`
  const path = `${beneath}${stagingPath(volume.pv).slice(KUBELET.length)}`
  const { output } = await shell.onNode(
    `mkdir -p ${beneath} && mount -n --bind ${KUBELET} ${beneath} && ls -A ${path}; umount -n -l ${beneath}`,
  )
  return output
}

/** How often a path stands in a mount table, and with which file systems. */
export function fileSystemsAt(table: string, path: string): string {
  const types = table
    .split('\n')
    .filter((line) => line.startsWith(`${path} shows `))
    .map((line) => line.split(' ').at(-1) ?? '')
  return types.length === 0 ? 'nothing' : types.join(', ')
}

/** What a call came to: `OK`, or the message of its failure. */
export async function answerOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'OK',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
}
