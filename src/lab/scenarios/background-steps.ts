import type { Volume } from '../kubelet.ts'
import { KUBELET, stagingPath } from '../node-paths.ts'
import type { Pod } from '../pod.ts'
import { runningProcesses } from '../running-processes.ts'
import type { ScenarioHarness } from '../scenario.ts'
import type { StartedProcess } from '../started-process.ts'
import { until } from '../wait.ts'
import { podSpec } from './steps.ts'

/** What is mounted below the kubelet's folder: what part of which file system, where, and of which type. */
export const MOUNT_TABLE = `awk '$5 ~ "^${KUBELET}/(plugins|pods)" { for (i = 7; $i != "-"; i++); print $5, "shows", $4, "of", $(i + 1) }' /proc/self/mountinfo`

/** A pod with a volume of its own, so that each half of a scenario begins afresh. */
export function podWith(bench: ScenarioHarness, name: string, volume: Volume): Pod {
  return bench.newPod(podSpec(name, { volume }))
}

/** Shows what is mounted on the node and returns it, a line each: `PATH shows ROOT of TYPE`. */
export async function seeMounts({ shell }: ScenarioHarness): Promise<string> {
  const { output } = await shell.onNode(MOUNT_TABLE)
  return output
}

/** Shows the files on the node's own disk below the staging path, whatever is mounted over it, and returns them. */
export async function seeDisk({ shell }: ScenarioHarness, volume: Volume): Promise<string> {
  const beneath = `${KUBELET}/tmp/beneath`
  const path = `${beneath}${stagingPath(volume.pv).slice(KUBELET.length)}`
  const { output } = await shell.onNode(
    `mkdir -p ${beneath} && mount -n --bind ${KUBELET} ${beneath} && ls -A ${path}; umount -n -l ${beneath}`,
  )
  return output
}

/** Tells how often a path stands in a mount table, and with which file systems. */
export function fileSystemsAt(table: string, path: string): string {
  const types = table
    .split('\n')
    .filter((line) => line.startsWith(`${path} shows `))
    .map((line) => line.split(' ').at(-1) ?? '')
  return types.length === 0 ? 'nothing' : types.join(', ')
}

/** Ends a plugin and the daemons that it has left in the background. */
export async function endAll(plugin: StartedProcess): Promise<void> {
  plugin.kill()
  await plugin.ended()
  for (const pid of runningProcesses('dummy-fuse')) process.kill(pid, 'SIGKILL')
  await until('the daemons are gone', () => runningProcesses('dummy-fuse').length === 0)
}

/** What a call came to: `OK`, or the message of its failure. */
export async function answerOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'OK',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
}
