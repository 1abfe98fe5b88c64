import { existsSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { codeOf } from '../../src/errors.ts'
import { recordsFolder } from '../../src/fused/session-records.ts'
import { sharedDaemonPaths } from '../../src/hosts/shared-daemon-paths.ts'
import { processStat, type ProcessStat } from '../../src/os/processes/processes.ts'
import { childrenOf } from '../support/kept.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { entriesBelow } from '../support/plugin.ts'
import { argumentsOf, commOf, devicesOf, type Running, type Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import type { Deed, Share, Victim } from './plan.ts'
import { ALL } from './diary.ts'
import type { HeardLine, Site, SiteParts } from './site.ts'
import type { Scene } from './snapshot.ts'
import { Supervised } from './supervised.ts'

/** The ways of hosting that a churn knows. */
export const MODES = ['child', 'child-shared', 'detached', 'detached-shared', 'service'] as const

export type Mode = (typeof MODES)[number]

/** Opens a site of one mode in a sandbox. Its programs are started and need not answer yet. */
export function openSite(mode: Mode, sandbox: Sandbox, parts: SiteParts): Site {
  switch (mode) {
    case 'child':
    case 'detached':
      return new ProcessSite(mode, sandbox, parts)
    case 'child-shared':
      return new SharedSite('child', sandbox, parts)
    case 'detached-shared':
      return new SharedSite('detached', sandbox, parts)
    case 'service':
      return new ServiceSite(sandbox, parts)
  }
}

/** The plugin of a site. */
class PluginPart {
  readonly socket: string
  readonly stateDir: string
  readonly #supervised: Supervised

  constructor(sandbox: Sandbox, words: readonly string[], parts: SiteParts) {
    this.socket = join(sandbox.path, 'csi.sock')
    this.stateDir = join(sandbox.path, 'csi-state')
    const role = ['--role', 'identity,node,controller']
    const all = ['serve', '--endpoint', `unix://${this.socket}`, '--state-dir', this.stateDir, ...role, ...words]
    const env = { ...process.env, NOTIFY_SOCKET: parts.notifySocket }
    this.#supervised = new Supervised({
      name: 'the plugin',
      start: () => sandbox.start(EXECUTABLE, all, { env }),
      failed: parts.failed,
      heard: hearingOf('plugin', parts),
    })
  }

  get pid(): number {
    return this.#supervised.pid
  }

  log(): string {
    return this.#supervised.log()
  }

  /** Its processes that ask a mount something. */
  probes(): readonly ProcessStat[] {
    return statsOf(childrenOf(this.pid).filter((pid) => commOf(pid) === 'stat'))
  }

  entries(): readonly string[] {
    return entriesBelow(this.stateDir).map((entry) => `entry ${entry}`)
  }

  async stop(): Promise<readonly string[]> {
    const status = await this.#supervised.stop()
    return status === 0 ? [] : [`the plugin ended with status ${status ?? -1} after SIGTERM`]
  }
}

const PROCESS_SHARES: readonly Share[] = [
  { victim: 'daemon', deed: 'kill', weight: 16 },
  { victim: 'plugin', deed: 'kill', weight: 3 },
  { victim: 'probe', deed: 'kill', weight: 1 },
  { victim: 'plugin', deed: 'end', weight: 0.5 },
  { victim: 'daemon', deed: 'freeze', weight: 2 },
  { victim: 'plugin', deed: 'freeze', weight: 1 },
]

/** `--fuse-host child` and `detached`: a process for each volume. */
class ProcessSite implements Site {
  readonly shares = PROCESS_SHARES
  readonly daemons = 'per-volume'
  readonly #sandbox: Sandbox
  readonly #plugin: PluginPart

  constructor(mode: 'child' | 'detached', sandbox: Sandbox, parts: SiteParts) {
    this.#sandbox = sandbox
    this.#plugin = new PluginPart(sandbox, ['--fuse-host', mode], parts)
  }

  get pluginPid(): number {
    return this.#plugin.pid
  }

  get scene(): Scene {
    return { folder: this.#sandbox.path, stateDir: this.#plugin.stateDir, records: undefined }
  }

  get statusWords(): readonly string[] {
    return ['--state-dir', this.#plugin.stateDir]
  }

  get socket(): string {
    return this.#plugin.socket
  }

  /** A daemon that is stopped may be found hung, and killed. */
  survives(victim: Victim): boolean {
    return victim === 'probe'
  }

  victims(victim: Victim): readonly ProcessStat[] {
    if (victim === 'plugin') return statsOf([this.#plugin.pid])
    if (victim === 'probe') return this.#plugin.probes()
    return victim === 'daemon' ? statsOf(this.#daemons()) : []
  }

  /** Its last argument is where it serves; a spare's is another. */
  volumeOf(victim: Victim, { pid }: ProcessStat): string | undefined {
    if (victim === 'probe') return undefined
    if (victim !== 'daemon') return ALL
    const path = argumentsOf(pid).at(-1) ?? ''
    return path.startsWith(this.#sandbox.path) ? basename(dirname(path)) : ALL
  }

  log(text = ''): string {
    return linesWith(text, this.#plugin.log())
  }

  async leftovers(): Promise<readonly string[]> {
    // A daemon ends a moment after its mount.
    await settled(() => processesOf(this.#sandbox, [this.#plugin.pid]).length === 0)
    return [...mountsOf(this.#sandbox), ...this.#plugin.entries(), ...processesOf(this.#sandbox, [this.#plugin.pid])]
  }

  async stop(): Promise<readonly string[]> {
    return [...(await this.#plugin.stop()), ...mountsOf(this.#sandbox), ...processesOf(this.#sandbox, [])]
  }

  /** Those of volumes, and those that wait for one. */
  #daemons(): readonly number[] {
    const waiting = childrenOf(this.#plugin.pid).filter((pid) => commOf(pid) === 'dummy-fuse')
    return [...new Set([...this.#sandbox.processes('dummy-fuse'), ...waiting])]
  }
}

const SHARED_SHARES: readonly Share[] = [
  { victim: 'daemon', deed: 'kill', weight: 8 },
  { victim: 'plugin', deed: 'kill', weight: 4 },
  { victim: 'probe', deed: 'kill', weight: 0.5 },
  { victim: 'plugin', deed: 'end', weight: 0.5 },
  { victim: 'daemon', deed: 'freeze', weight: 1 },
  { victim: 'plugin', deed: 'freeze', weight: 1 },
]

/** `--daemons shared`: one dummy-fused for all volumes, which the plugin starts, and which stays when its last volume has gone. */
class SharedSite implements Site {
  readonly shares = SHARED_SHARES
  readonly daemons = 'shared'
  readonly #sandbox: Sandbox
  readonly #plugin: PluginPart

  constructor(mode: 'child' | 'detached', sandbox: Sandbox, parts: SiteParts) {
    this.#sandbox = sandbox
    this.#plugin = new PluginPart(sandbox, ['--fuse-host', mode, '--daemons', 'shared'], parts)
  }

  get pluginPid(): number {
    return this.#plugin.pid
  }

  get scene(): Scene {
    return {
      folder: this.#sandbox.path,
      stateDir: this.#plugin.stateDir,
      records: recordsFolder(sharedDaemonPaths(this.#plugin.stateDir).stateDir),
    }
  }

  get statusWords(): readonly string[] {
    return ['--state-dir', this.#plugin.stateDir]
  }

  get socket(): string {
    return this.#plugin.socket
  }

  survives(victim: Victim): boolean {
    return victim === 'probe'
  }

  victims(victim: Victim): readonly ProcessStat[] {
    if (victim === 'plugin') return statsOf([this.#plugin.pid])
    if (victim === 'probe') return this.#plugin.probes()
    return victim === 'daemon' ? statsOf(this.#daemons()) : []
  }

  volumeOf(victim: Victim): string | undefined {
    return victim === 'probe' ? undefined : ALL
  }

  log(text = ''): string {
    return linesWith(text, this.#plugin.log())
  }

  async leftovers(): Promise<readonly string[]> {
    const devices = (): number => this.#daemons().reduce((sum, pid) => sum + devicesOf(pid), 0)
    const records = (): readonly string[] => recordsIn(sharedDaemonPaths(this.#plugin.stateDir).stateDir)
    const others = (): readonly string[] => processesOf(this.#sandbox, [this.#plugin.pid, ...this.#daemons()])
    await settled(() => devices() + records().length + others().length === 0)
    return [
      ...mountsOf(this.#sandbox),
      ...this.#plugin.entries(),
      ...records().map((name) => `record ${name}`),
      ...(devices() === 0 ? [] : [`${devices()} descriptors of /dev/fuse in dummy-fused`]),
      ...this.#daemons()
        .slice(1)
        .map((pid) => `a second dummy-fused: ${pid}`),
      ...others(),
    ]
  }

  async stop(): Promise<readonly string[]> {
    const plugin = await this.#plugin.stop()
    // One that is detached stays for the next plugin.
    for (const pid of this.#daemons()) end(pid)
    await settled(() => this.#daemons().length === 0)
    return [...plugin, ...mountsOf(this.#sandbox), ...processesOf(this.#sandbox, [])]
  }

  #daemons(): readonly number[] {
    return this.#sandbox.processes('dummy-fused')
  }
}

const SERVICE_SHARES: readonly Share[] = [
  { victim: 'daemon', deed: 'kill', weight: 12 },
  { victim: 'plugin', deed: 'kill', weight: 6 },
  { victim: 'standby', deed: 'kill', weight: 4 },
  { victim: 'keeper', deed: 'kill', weight: 0.5 },
  { victim: 'probe', deed: 'kill', weight: 0.5 },
  { victim: 'plugin', deed: 'end', weight: 0.5 },
  { victim: 'daemon', deed: 'freeze', weight: 1 },
  { victim: 'plugin', deed: 'freeze', weight: 1 },
  { victim: 'standby', deed: 'freeze', weight: 1 },
  { victim: 'keeper', deed: 'freeze', weight: 1 },
]

/** `--fuse-host service`: dummy-fused and its standby, each under a keep of its own. */
class ServiceSite implements Site {
  readonly shares = SERVICE_SHARES
  readonly daemons = 'shared'
  readonly #sandbox: Sandbox
  readonly #plugin: PluginPart
  readonly #keep: Supervised
  readonly #standbyKeep: Supervised
  readonly #stateDir: string
  readonly #socket: string

  constructor(sandbox: Sandbox, parts: SiteParts) {
    this.#sandbox = sandbox
    const socket = join(sandbox.path, 'fused.sock')
    this.#socket = socket
    this.#stateDir = join(sandbox.path, 'fused-state')
    const fused = [EXECUTABLE, 'fused', '--socket', socket, '--state-dir', this.#stateDir]
    this.#keep = new Supervised({
      name: 'keep of dummy-fused',
      start: () => sandbox.start(EXECUTABLE, ['keep', '--socket', socket, '--', ...fused]),
      failed: parts.failed,
      heard: hearingOf('keep', parts),
    })
    const standby = [EXECUTABLE, 'standby', '--state-dir', this.#stateDir]
    const start = (): Running => sandbox.start(EXECUTABLE, ['keep', '--', ...standby])
    this.#standbyKeep = new Supervised({
      name: 'keep of the standby',
      start,
      failed: parts.failed,
      heard: hearingOf('standby', parts),
    })
    this.#plugin = new PluginPart(sandbox, ['--fuse-host', 'service', '--fused-socket', socket], parts)
  }

  get pluginPid(): number {
    return this.#plugin.pid
  }

  get scene(): Scene {
    return { folder: this.#sandbox.path, stateDir: this.#plugin.stateDir, records: recordsFolder(this.#stateDir) }
  }

  get statusWords(): readonly string[] {
    return ['--state-dir', this.#plugin.stateDir, '--fused-socket', this.#socket]
  }

  get socket(): string {
    return this.#plugin.socket
  }

  /** The descriptors are in the keep of dummy-fused alone: it takes the sessions along. */
  survives(victim: Victim, deed: Deed): boolean {
    return victim !== 'keeper' || deed === 'freeze'
  }

  victims(victim: Victim): readonly ProcessStat[] {
    switch (victim) {
      case 'plugin':
        return statsOf([this.#plugin.pid])
      case 'probe':
        return this.#plugin.probes()
      case 'daemon':
        return statsOf(this.#daemons())
      case 'standby':
        return statsOf(childrenOf(this.#standbyKeep.pid))
      case 'keeper':
        return statsOf([this.#keep.pid])
    }
  }

  volumeOf(victim: Victim): string | undefined {
    return victim === 'probe' ? undefined : ALL
  }

  log(text = ''): string {
    return [this.#plugin, this.#keep, this.#standbyKeep].map((one) => linesWith(text, one.log())).join('\n')
  }

  async leftovers(): Promise<readonly string[]> {
    const holders = (): readonly (readonly [string, number])[] => [
      ['keep', this.#keep.pid],
      ['dummy-fused', this.#daemons()[0] ?? 0],
      ['the standby', childrenOf(this.#standbyKeep.pid)[0] ?? 0],
    ]
    const devices = (): readonly string[] =>
      holders().flatMap(([name, pid]) => {
        const count = processStat(pid) === undefined ? 0 : devicesOf(pid)
        return count === 0 ? [] : [`${count} descriptors of /dev/fuse in ${name}`]
      })
    // keep and the standby close what they let go of a moment later.
    const keepers = [this.#keep.pid, this.#standbyKeep.pid]
    const others = (): readonly string[] =>
      processesOf(this.#sandbox, [this.#plugin.pid, ...keepers, ...holders().map(([, pid]) => pid)])
    await settled(() => devices().length + recordsIn(this.#stateDir).length + others().length === 0)
    return [
      ...mountsOf(this.#sandbox),
      ...this.#plugin.entries(),
      ...recordsIn(this.#stateDir).map((name) => `record ${name}`),
      ...devices(),
      ...others(),
    ]
  }

  async stop(): Promise<readonly string[]> {
    const plugin = await this.#plugin.stop()
    await this.#keep.stop()
    await this.#standbyKeep.stop()
    return [...plugin, ...mountsOf(this.#sandbox), ...processesOf(this.#sandbox, [])]
  }

  #daemons(): readonly number[] {
    return childrenOf(this.#keep.pid).filter((pid) => argumentsOf(pid).includes(this.#stateDir))
  }
}

function hearingOf(program: HeardLine['program'], { heard }: SiteParts): (pid: number, text: string) => void {
  return (pid, text) => {
    heard({ program, pid, text, at: performance.now() })
  }
}

function statsOf(pids: readonly number[]): readonly ProcessStat[] {
  return pids.flatMap((pid) => processStat(pid) ?? [])
}

/** SIGTERM to a process that may just have ended by itself. */
function end(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error
  }
}

function linesWith(text: string, log: string): string {
  const lines = log.split('\n').filter((line) => line.includes(text))
  return lines.slice(-12).join('\n')
}

function mountsOf(sandbox: Sandbox): readonly string[] {
  return sandbox.mounts().map((path) => `mount ${path}`)
}

/** The processes of a sandbox beside those that are known. */
function processesOf(sandbox: Sandbox, known: readonly number[]): readonly string[] {
  return sandbox
    .processes()
    .filter((pid) => !known.includes(pid))
    .map((pid) => `process ${pid}: ${argumentsOf(pid).join(' ')}`)
}

function recordsIn(stateDir: string): readonly string[] {
  const folder = join(stateDir, 'sessions')
  return existsSync(folder) ? readdirSync(folder) : []
}

/** Waits for a condition; that it does not come is for the caller to find. */
async function settled(condition: () => boolean): Promise<void> {
  await eventually('it settles', condition, 15_000).catch(() => undefined)
}
