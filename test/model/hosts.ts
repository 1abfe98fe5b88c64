import { codeOf } from '../../src/errors.ts'
import { sharedDaemonPaths } from '../../src/hosts/shared-daemon-paths.ts'
import { CsiClient, outcome } from '../support/csi-client.ts'
import { KeptFused } from '../support/chaos-kept.ts'
import { Plugin, type PluginOptions } from '../support/plugin.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { argumentsOf } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** What serves the sessions of a plugin. */
export interface Host {
  /** How many sessions are served; -1 while nobody can say. */
  sessions(): Promise<number>
  /** Kills the daemon of a staging path, at whatever it is just then; tells whether there is one. Resolves when it is gone. */
  killDaemon(path: string): Promise<boolean>
}

/** A plugin with its host. */
export interface Hosted {
  readonly plugin: Plugin
  readonly host: Host
  /** Whether sessions outlive the plugin's process. */
  readonly outlivesPlugin: boolean
  /** What is lost with a daemon's process: nothing, its volume, or all volumes. */
  readonly daemonLoss: DaemonLoss
}

export type DaemonLoss = 'nothing' | 'volume' | 'all'

export const MODES = ['child', 'child shared', 'detached', 'detached shared', 'service'] as const

/** Starts a plugin of one host mode, with `more` words. */
export async function startHosted(
  mode: (typeof MODES)[number],
  sandbox: Sandbox,
  more: readonly string[] = [],
  options: Pick<PluginOptions, 'callDeadline'> = {},
): Promise<Hosted> {
  if (mode === 'service') {
    const fused = await KeptFused.start(sandbox)
    const args = ['--fuse-host', 'service', '--fused-socket', fused.socket, ...more]
    const plugin = await Plugin.start(sandbox, { ...options, args })
    return { plugin, host: new FusedHost(fused), outlivesPlugin: true, daemonLoss: 'nothing' }
  }
  const [host = '', shared] = mode.split(' ')
  const args = ['--fuse-host', host, '--daemons', shared ?? 'per-volume', ...more]
  const plugin = await Plugin.start(sandbox, { ...options, args })
  const outlivesPlugin = host === 'detached'
  if (shared !== undefined) return { plugin, host: new SharedHost(sandbox, plugin), outlivesPlugin, daemonLoss: 'all' }
  return { plugin, host: new ProcessHost(plugin), outlivesPlugin, daemonLoss: 'volume' }
}

class ProcessHost implements Host {
  readonly #plugin: Plugin

  constructor(plugin: Plugin) {
    this.#plugin = plugin
  }

  sessions(): Promise<number> {
    return Promise.resolve(this.#plugin.daemons().length)
  }

  async killDaemon(path: string): Promise<boolean> {
    const pid = this.#plugin.daemons().find((one) => argumentsOf(one).at(-1) === path)
    if (pid === undefined) return false
    await kill(pid)
    return true
  }
}

class SharedHost implements Host {
  readonly #sandbox: Sandbox
  readonly #socket: string

  constructor(sandbox: Sandbox, plugin: Plugin) {
    this.#sandbox = sandbox
    this.#socket = sharedDaemonPaths(plugin.stateDir).socket
  }

  async sessions(): Promise<number> {
    if (this.#sandbox.processes('dummy-fused').length === 0) return 0
    using client = new CsiClient(this.#socket)
    // One that ends with its plugin is there for a moment, and does not answer.
    const asked = client.call(Fused.method.list)
    const { code } = await outcome(asked)
    return code === 'UNAVAILABLE' ? -1 : (await asked).sessions.length
  }

  async killDaemon(): Promise<boolean> {
    const [pid] = this.#sandbox.processes('dummy-fused')
    if (pid === undefined) return false
    await kill(pid)
    return true
  }
}

class FusedHost implements Host {
  readonly #fused: KeptFused

  constructor(fused: KeptFused) {
    this.#fused = fused
  }

  async sessions(): Promise<number> {
    using client = this.#fused.client()
    return (await client.call(Fused.method.list)).sessions.length
  }

  async killDaemon(): Promise<boolean> {
    const pid = this.#fused.pid()
    if (pid === undefined) return false
    await kill(pid)
    await this.#fused.ready(pid)
    return true
  }
}

async function kill(pid: number): Promise<void> {
  const stat = processStat(pid)
  if (stat === undefined) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It has just ended by itself.
    if (codeOf(error) !== 'ESRCH') throw error
  }
  await eventually(`process ${pid} is gone`, () => processStat(pid)?.start !== stat.start)
}
