import { VOLUME } from '../kubelet.ts'
import { stagingPath, targetPath } from '../node-paths.ts'
import type { Pod, PodSpec } from '../pod.ts'
import { runningProcesses } from '../running-processes.ts'
import { describeRounds, type Round, roundsOf } from '../rounds.ts'
import type { ScenarioHarness } from '../scenario.ts'
import type { StartedProcess } from '../started-process.ts'
import { until } from '../wait.ts'

/** A workload reads five times a second here, and every five seconds in a real pod. */
export const READS = ['--read-interval', '0.2']

/** Reading rounds that show the state of a pod. */
const ENOUGH = 3

const DEAD = 'transport endpoint is not connected'
const LISTING = /^-r--r--r-- +1 root +root +13 Jan +1 +1970 dummy-file\.txt$/m

/** A pod's usual way to have the volume: its own mount at /mnt, nothing propagated. */
export function podSpec(name: string, rest: Partial<PodSpec> = {}): PodSpec {
  return { name, volume: VOLUME, mounts: 'volume', propagation: 'None', flags: READS, ...rest }
}

/** Starts the plugin and has it mount the volume for the pods, as the kubelet does before it starts their containers. */
export async function mountVolume(bench: ScenarioHarness, flags: readonly string[], pods: readonly Pod[]): Promise<StartedProcess> {
  const { daemonSet, kubelet, transcript } = bench
  transcript.say(
    `The DaemonSet's controller starts the plugin (serve ${flags.join(' ')}); the kubelet finds its socket, stages the volume and publishes it for each pod.`,
  )
  const plugin = await daemonSet.start(flags)
  await kubelet.register()
  await kubelet.stage(VOLUME)
  for (const pod of pods) await kubelet.publish(VOLUME, pod.uid)
  transcript.log(plugin.log)
  return plugin
}

/** Shows the volume from within the pod and the pod's log, and checks that both are as they must be before the failure. */
export async function seeServed(
  { shell, transcript, checks }: ScenarioHarness,
  pod: Pod,
  when: string,
  sinceMs: number,
): Promise<void> {
  const { output } = await shell.inPod(pod, `mount | grep /mnt ; ls -l ${pod.volumePath}`)
  checks.see(`${pod.name}, ${when}: has the mount`, mountLines(pod, output), mountLine(pod))
  checks.see(`${pod.name}, ${when}: lists the file`, output, LISTING, '-r--r--r-- 1 root root 13 Jan 1 1970 dummy-file.txt')
  const seen = await roundsSince(pod, sinceMs)
  checks.see(`${pod.name}, ${when}: reads`, seen, /^(?:[3-9]|\d\d+) rounds right$/, 'at least 3 rounds, all right')
  transcript.log(pod.log, 5)
}

/** Shows the volume from within the pod, where it is dead though still in its mount table, and that every read since then failed. */
export async function seeDead(
  { shell, transcript, checks }: ScenarioHarness,
  pod: Pod,
  when: string,
  sinceMs: number,
): Promise<void> {
  const { output, status } = await shell.inPod(pod, `mount | grep /mnt ; ls -l ${pod.volumePath}`)
  checks.see(`${pod.name}, ${when}: still has the mount`, mountLines(pod, output), mountLine(pod))
  checks.see(
    `${pod.name}, ${when}: cannot list it`,
    `${output.split('\n').at(-1) ?? ''} (${status})`,
    /Transport endpoint is not connected \([^0]\d*\)$/,
    'Transport endpoint is not connected, and a status other than 0',
  )
  await seeFailingReads({ transcript, checks }, pod, when, sinceMs)
}

/**
 * Shows that every read since then failed with ENOTCONN. The request that the daemon had before it when it died comes back with
 * ECONNABORTED (fs/fuse/dev.c, fuse_abort_conn), which a busy machine may tell late.
 */
export async function seeFailingReads(
  { transcript, checks }: Pick<ScenarioHarness, 'transcript' | 'checks'>,
  pod: Pod,
  when: string,
  sinceMs: number,
): Promise<void> {
  const aborted = `1 round failed: (?:open|read) ${pod.file}: software caused connection abort, `
  const count = `(?:${aborted}(?:[2-9]|\\d\\d+)|(?:[3-9]|\\d\\d+))`
  const pattern = new RegExp(`^${count} rounds failed: (?:open|read) ${pod.file}: ${DEAD}$`)
  const seen = await roundsSince(pod, sinceMs)
  checks.see(`${pod.name}, ${when}: cannot read`, seen, pattern, `at least 3 rounds, all failed: ${DEAD}`)
  transcript.log(pod.log, 5)
}

/** When the pod's first round that was right began, of those since then; that moment itself if none is right within 5 s. */
export async function firstRight({ name, log }: Pod, sinceMs: number): Promise<number> {
  const right = (): Round | undefined => roundsOf(log.lines).find(({ atMs, error }) => atMs >= sinceMs && error === '')
  const round = await until(`${name} reads`, right, 5000).catch(() => undefined)
  return round?.atMs ?? sinceMs
}

/** What has come of the rounds since then, once there are enough of them to tell. */
async function roundsSince({ name, log }: Pod, sinceMs: number): Promise<string> {
  const enough = (): boolean => roundsOf(log.lines).filter(({ atMs }) => atMs >= sinceMs).length >= ENOUGH
  await until(`rounds of ${name}`, enough).catch(() => undefined)
  return describeRounds(log.lines, sinceMs)
}

/** Kills the plugin as nothing else would, and waits until the processes that served its mounts have gone too. */
export async function killPlugin({ shell, checks, clock }: ScenarioHarness, plugin: StartedProcess): Promise<number> {
  await shell.onNode(`kill -9 ${plugin.pid}`)
  const { signal } = await plugin.ended()
  checks.see('the plugin was killed', signal ?? 'ended by itself', 'SIGKILL')
  const daemons = (): string => `${runningProcesses('dummy-fuse').length} dummy-fuse processes`
  await checks.comeToSee('its FUSE daemon died with it, as in one container', daemons, /^0 /, '0 dummy-fuse processes', 5000)
  return clock()
}

/** The places on the node at which the volume is mounted: staged, and published for each pod. */
export function placesOnNode(pods: readonly Pod[]): readonly { readonly what: string; readonly path: string }[] {
  const targets = pods.map(({ name, uid }) => ({ what: `${name}'s target`, path: targetPath(uid, VOLUME.pv) }))
  return [{ what: 'the staging path', path: stagingPath(VOLUME.pv) }, ...targets]
}

function mountLine(pod: Pod): string {
  return `dummy-fuse on ${pod.volumePath} type fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0)`
}

function mountLines(pod: Pod, output: string): string {
  const at = ` on ${pod.volumePath} type `
  return output
    .split('\n')
    .filter((line) => line.includes(at))
    .join('\n')
}
