import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { topmostAt } from '../../os/mounts/mountinfo.ts'
import { processStat } from '../../os/processes/processes.ts'
import { run } from '../../os/processes/run.ts'
import type { FuseMounts } from '../fuse-mounts.ts'
import type { MountSnapshot } from '../mount-snapshot.ts'
import { BOOT_ID, KUBELET } from '../node-paths.ts'
import { runShell } from '../shell.ts'
import type { CellConsumer } from './cell-consumer.ts'
import type { NodeControl, PluginControl } from './harness.ts'
import type { PrivateDaemons } from './private-harness.ts'
import type { Timeline } from './timeline.ts'
import type { VolumeOperations } from './volume-operations.ts'

/** Milliseconds for one umount(8). */
const DEADLINE = 10_000

/** What is on a private node. */
interface OnNode {
  readonly plugin: PluginControl
  readonly daemons: PrivateDaemons
  /** Those of each volume. */
  readonly operations: readonly VolumeOperations[]
  readonly consumers: readonly CellConsumer[]
  readonly fuse: FuseMounts
  /** Where the volume that is struck may be mounted. */
  readonly paths: () => readonly string[]
  /** What was mounted before the plugin was started: a power cut takes all else. */
  readonly mounts: MountSnapshot
}

/** The private node that this process is on. */
export class PrivateNode implements NodeControl {
  readonly #timeline: Timeline
  readonly #on: OnNode

  constructor(timeline: Timeline, on: OnNode) {
    this.#timeline = timeline
    this.#on = on
    timeline.lane('node', 'process', 'Node')
    timeline.lane('kubelet', 'process', 'Kubelet')
  }

  /** Runs a command in a shell of the node, noted on the lane `node`. Rejects with its output if it fails. */
  async shell(command: string): Promise<string> {
    const { status, output } = await runShell([], command)
    for (const line of output.split('\n'))
      if (line !== '') this.#timeline.log('node', this.#timeline.note('node', 'log', line), line)
    if (status !== 0) throw new Error(`on the node: ${command.replaceAll('\n', '; ')}: exit status ${status}: ${output}`)
    return output
  }

  async unmount(paths: readonly string[]): Promise<void> {
    const table = this.#on.mounts.now()
    const mounted = paths.filter((path) => topmostAt(table, path) !== undefined)
    for (const path of paths.filter((one) => !mounted.includes(one)))
      this.#timeline.note('node', 'log', `nothing is mounted at ${path}`)
    if (mounted.length === 0) throw new Error(`nothing is mounted at ${paths.join(', ')}`)
    await this.shell(['set -e', ...mounted.map((path) => `umount -n -l ${path}`)].join('\n'))
  }

  async abortConnections(): Promise<readonly number[]> {
    const { fuse, paths } = this.#on
    const connections = [...fuse.mountsOf(paths()).keys()]
    if (connections.length === 0) throw new Error('the volume has no FUSE mount on the node')
    // A container's /sys may lack the folder for it.
    const control = join(KUBELET, 'tmp/fusectl')
    const aborts = connections.map((connection) => `echo 1 > ${control}/${connection}/abort`)
    const lines = ['set -e', `mkdir -p ${control}`, `mount -n -t fusectl none ${control}`, ...aborts, `umount -n ${control}`]
    await this.shell(lines.join('\n'))
    return connections
  }

  async limitDescriptors(): Promise<void> {
    await this.#prlimit(lowest)
  }

  async liftDescriptorLimit(): Promise<void> {
    await this.#prlimit(most)
  }

  async #prlimit(limit: (pid: number) => string): Promise<void> {
    const { plugin, daemons } = this.#on
    const pids = [...new Set([...(await plugin.pids()), ...(await daemons.pids())])].filter((pid) => processStat(pid) !== undefined)
    // One that has ended in between has no limit.
    const lines = pids.map((pid) => `${asUserOf(pid)}prlimit --pid ${pid} --nofile=${limit(pid)}: || ! kill -0 ${pid} 2>/dev/null`)
    await this.shell(['set -e', ...lines].join('\n'))
  }

  async powerCut(): Promise<void> {
    const { plugin, daemons, operations, consumers, mounts } = this.#on
    for (const consumer of consumers) await consumer.halt()
    await plugin.kill()
    await daemons.crash()
    const made = mounts.made().map(({ mountPoint }) => mountPoint)
    for (const path of made.toReversed()) if (path !== BOOT_ID) await run('umount', ['-n', '-l', path], DEADLINE)
    // What tells the plugin's entries of an earlier boot from this one's.
    const bootId = join(KUBELET, 'tmp', `boot-id-${randomUUID()}`)
    writeFileSync(bootId, `${randomUUID()}\n`)
    // systemd-nspawn has put a file there whose name is gone, on which nothing can be mounted.
    await this.shell(`umount -n -l ${BOOT_ID} 2>/dev/null || true; mount -n --bind ${bootId} ${BOOT_ID}`)
    for (const one of [...consumers, ...operations]) one.forget()
  }

  async powerOn(): Promise<void> {
    const { plugin, daemons, consumers } = this.#on
    await daemons.start()
    await plugin.start()
    for (const consumer of consumers) if (consumer.kind.starts === 'before') consumer.want()
  }
}

/** One more than the highest descriptor: no further one can be had. */
function lowest(pid: number): string {
  return String(Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number)) + 1)
}

/**
 * What comes before a command to have the ids of a process. prlimit(2) on a process with other ids needs CAP_SYS_RESOURCE, which a container may lack
 * (kernel/sys.c, check_prlimit_permission). A process whose ids differ among themselves has no such command.
 */
function asUserOf(pid: number): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const [uid, gid] = ['Uid', 'Gid'].map((name) => {
    const ids = new RegExp(`^${name}:\\s+(\\d+)\\s+(\\d+)\\s+(\\d+)`, 'm').exec(status)?.slice(1) ?? []
    return new Set(ids).size === 1 ? ids[0] : undefined
  })
  if (uid === undefined || gid === undefined || (uid === '0' && gid === '0')) return ''
  return `setpriv --reuid ${uid} --regid ${gid} --clear-groups `
}

/** The hard limit (proc_pid_limits(5)). */
function most(pid: number): string {
  const [, hard = 'unlimited'] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8')) ?? []
  return hard
}
