import { processesNamed } from '../../os/processes/processes.ts'
import type { CellConsumer } from '../cell/cell-consumer.ts'
import type { ContainerPlugin } from '../cell/container-plugin.ts'
import { countReads, type Read } from '../cell/read-log.ts'
import { VOLUME } from '../kubelet.ts'
import type { ConsumerSpec } from '../matrix/consumers.ts'
import { stagingPath } from '../node-paths.ts'
import type { Narrator, ScenarioCell } from '../scenario.ts'
import { until } from '../wait.ts'

/** Reads that show the state of a pod. */
const ENOUGH = 3

const LISTING = /^-r--r--r-- +1 root +root +13 Jan +1 +1970 dummy-file\.txt$/m

/** How a pod of a scenario differs from the usual one. */
interface PodOptions {
  readonly way?: 'keeps-open' | 'opens-anew'
  readonly place?: 'private' | 'slave' | 'slave-folder'
}

/** A pod that has the volume at /mnt, with nothing propagated, and opens its file for each read. */
export function podOf(id: string, options: PodOptions = {}): ConsumerSpec {
  const usual = { way: 'opens-anew', place: 'private', volume: 'struck', starts: 'before', exitsOnError: false } as const
  return { id, title: id, ...usual, ...options }
}

/** The cell's pod of this name. Throws an Error if there is none. */
export function podNamed({ consumers }: ScenarioCell, name: string): CellConsumer {
  const found = consumers.find(({ kind }) => kind.id === name)
  if (found === undefined) throw new Error(`the scenario has no pod '${name}'`)
  return found
}

/** Shows the volume from within the pod and the pod's log, and checks that both are as they must be while the volume is served. */
export async function seeServed(
  { shell, transcript, checks }: Narrator,
  { pod, reads }: CellConsumer,
  when: string,
  sinceMs: number,
): Promise<void> {
  const { output } = await shell.inPod(pod, `mount | grep /mnt ; ls -l ${pod.volumePath}`)
  checks.see(`${pod.name}, ${when}: has the mount`, mountLines(pod, output), mountLine(pod))
  checks.see(`${pod.name}, ${when}: lists the file`, output, LISTING, '-r--r--r-- 1 root root 13 Jan 1 1970 dummy-file.txt')
  const seen = await readsSince({ pod, reads }, sinceMs)
  checks.see(`${pod.name}, ${when}: reads`, seen, /^(?:[3-9]|\d\d+) right$/, 'at least 3 reads, all right')
  transcript.log(pod.log, 5)
}

/** Shows the volume from within the pod, where it is dead though still in its mount table, and that every read since then failed. */
export async function seeDead(narrator: Narrator, consumer: CellConsumer, when: string, sinceMs: number): Promise<void> {
  const { shell, checks } = narrator
  const { pod } = consumer
  const { output, status } = await shell.inPod(pod, `mount | grep /mnt ; ls -l ${pod.volumePath}`)
  checks.see(`${pod.name}, ${when}: still has the mount`, mountLines(pod, output), mountLine(pod))
  checks.see(
    `${pod.name}, ${when}: cannot list it`,
    `${output.split('\n').at(-1) ?? ''} (${status})`,
    /Transport endpoint is not connected \([^0]\d*\)$/,
    'Transport endpoint is not connected, and a status other than 0',
  )
  await seeFailingReads(narrator, consumer, when, sinceMs)
}

/**
 * Shows that every read since then failed with ENOTCONN. The request that the daemon had before it when it died comes back with
 * ECONNABORTED (fs/fuse/dev.c, fuse_abort_conn), which a busy machine may tell late.
 */
export async function seeFailingReads(
  { transcript, checks }: Narrator,
  { pod, reads }: CellConsumer,
  when: string,
  sinceMs: number,
): Promise<void> {
  const seen = await readsSince({ pod, reads }, sinceMs)
  const pattern = /^(?:1 ECONNABORTED, (?:[2-9]|\d\d+)|(?:[3-9]|\d\d+)) ENOTCONN$/
  checks.see(`${pod.name}, ${when}: cannot read`, seen, pattern, 'at least 3 reads, all failed with ENOTCONN')
  transcript.log(pod.log, 5)
}

/** When the pod's first read that was right began, of those since then; that moment itself if none is right within 5 s. */
export async function firstRight({ pod, reads }: CellConsumer, sinceMs: number): Promise<number> {
  const right = (): Read | undefined => reads.ended(sinceMs).find(({ saw }) => saw === 'right')
  const read = await until(`${pod.name} reads`, right, 5000).catch(() => undefined)
  return read?.beganMs ?? sinceMs
}

/** What came of the reads since then, once there are enough of them to tell. */
async function readsSince({ pod, reads }: Pick<CellConsumer, 'pod' | 'reads'>, sinceMs: number): Promise<string> {
  await until(`reads of ${pod.name}`, () => reads.ended(sinceMs).length >= ENOUGH).catch(() => undefined)
  return describeReads(reads.ended(sinceMs))
}

/** How many reads came to what: `3 right`, `1 ECONNABORTED, 4 ENOTCONN`. */
export function describeReads(reads: readonly Read[]): string {
  const { right, wrong, failed } = countReads(reads)
  const counts = Object.entries({ right, wrong, ...failed }).filter(([, count]) => count > 0)
  return counts.length === 0 ? 'no reads' : counts.map(([saw, count]) => `${count} ${saw}`).join(', ')
}

/** Kills the plugin as nothing else would, and waits until the processes that served its mounts have gone too. */
export async function killPlugin({ shell, checks }: Narrator, plugin: ContainerPlugin): Promise<void> {
  await shell.onNode(`kill -9 ${(await plugin.pids()).join(' ')}`)
  const { signal } = await plugin.ended()
  checks.see('the plugin was killed', signal ?? 'ended by itself', 'SIGKILL')
  const daemons = (): string => `${processesNamed('dummy-fuse').length} dummy-fuse processes`
  await checks.comeToSee('its FUSE daemon died with it, as in one container', daemons, /^0 /, '0 dummy-fuse processes', 5000)
}

/** The places on the node at which the volume is mounted: staged, and published for each pod. */
export function placesOnNode(pods: readonly CellConsumer[]): readonly { readonly what: string; readonly path: string }[] {
  const targets = pods.map(({ pod, target }) => ({ what: `${pod.name}'s target`, path: target }))
  return [{ what: 'the staging path', path: stagingPath(VOLUME.pv) }, ...targets]
}

function mountLine({ volumePath }: CellConsumer['pod']): string {
  return `dummy-fuse on ${volumePath} type fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0)`
}

function mountLines({ volumePath }: CellConsumer['pod'], output: string): string {
  const at = ` on ${volumePath} type `
  return output
    .split('\n')
    .filter((line) => line.includes(at))
    .join('\n')
}
