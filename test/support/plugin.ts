import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, type VolumeCapabilitySchema, VolumeCapability_AccessMode_Mode as Mode } from '../../src/rpc/csi_pb.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { hasListener } from '../../src/os/sockets/unix-socket.ts'
import { CsiClient } from './csi-client.ts'
import { EXECUTABLE } from './paths.ts'
import { argumentsOf, type Result, type Running, type Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

type Capability = MessageInitShape<typeof VolumeCapabilitySchema>

/** Milliseconds that a busy machine may take to start a plugin, and the plugin to restore its volumes. */
const START_LIMIT = 60_000

/** How a plugin is to be started. */
export interface PluginOptions {
  /** Words for `serve` beyond `--endpoint` and `--state-dir`. */
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** What its socket and state folder are named after, where one sandbox has several. */
  readonly name?: string
  /** A program that the plugin is executed by, with its arguments. */
  readonly by?: readonly string[]
  /** A file that its log goes to, in place of {@link Plugin.log}. */
  readonly log?: string
  /** Seconds that each call has, in place of ten, by --call-deadline and by its client: for calls that start many daemons on a busy machine. */
  readonly callDeadline?: number
}

/** `dummy-fuse-csi serve` in a sandbox, with a socket and a state folder of its own. */
export class Plugin implements Disposable {
  readonly socket: string
  readonly stateDir: string
  readonly #sandbox: Sandbox
  readonly #options: PluginOptions
  #running: Running
  #client: CsiClient

  private constructor(sandbox: Sandbox, options: PluginOptions) {
    const { name = 'csi' } = options
    this.#sandbox = sandbox
    this.#options = options
    this.socket = join(sandbox.path, `${name}.sock`)
    this.stateDir = join(sandbox.path, `${name}-state`)
    this.#running = this.#execute([])
    this.#client = new CsiClient(this.socket)
  }

  /** Starts a plugin and resolves once its socket takes connections, and the volumes of its state folder are restored. */
  static async start(sandbox: Sandbox, options: PluginOptions = {}): Promise<Plugin> {
    const plugin = new Plugin(sandbox, options)
    await plugin.#listening()
    await plugin.#restored()
    return plugin
  }

  /** Runs a plugin that is not expected to serve to its end; SIGKILL after `limit` milliseconds. */
  static async fails(sandbox: Sandbox, options: PluginOptions = {}, limit = START_LIMIT): Promise<Result> {
    const plugin = new Plugin(sandbox, options)
    const timer = setTimeout(() => plugin.#running.child.kill('SIGKILL'), limit)
    try {
      return await plugin.#running.ended
    } finally {
      clearTimeout(timer)
      plugin[Symbol.dispose]()
    }
  }

  get pid(): number {
    return this.#running.pid
  }

  /** Whether this run of it goes on. */
  get running(): boolean {
    const { exitCode, signalCode } = this.#running.child
    return exitCode === null && signalCode === null
  }

  /** All that this run of the plugin has logged. */
  log(): string {
    const { log } = this.#options
    return log === undefined ? this.#running.output() : readFileSync(log, 'utf8')
  }

  /** Waits until the log holds a text: what is logged before an answer may reach us after it. */
  async logged(text: string): Promise<void> {
    await eventually(`the plugin logs ${text}; it said: ${this.log()}`, () => this.log().includes(text))
  }

  /** The log's lines without their times. */
  lines(): string[] {
    return this.log()
      .split('\n')
      .filter(Boolean)
      .map((line) => line.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /, ''))
  }

  get client(): CsiClient {
    return this.#client
  }

  /** Takes a connection of its own for the calls from now on: after one that broke, the channel waits for a second. */
  reconnect(): void {
    this.#client[Symbol.dispose]()
    this.#client = new CsiClient(this.socket)
  }

  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I> = {} as MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const { callDeadline } = this.#options
    return await this.#client.call(method, request, callDeadline === undefined ? undefined : callDeadline * 1000)
  }

  /** NodeStageVolume, by default as any number of nodes' reader. */
  async stage(volumeId: string, stagingTargetPath: string, volumeCapability: Capability = mountCapability()): Promise<void> {
    await this.call(Node.method.nodeStageVolume, { volumeId, stagingTargetPath, volumeCapability })
  }

  async publish(
    volumeId: string,
    stagingTargetPath: string,
    targetPath: string,
    { readonly = false, capability = mountCapability() }: { readonly readonly?: boolean; readonly capability?: Capability } = {},
  ): Promise<void> {
    const request = { volumeId, stagingTargetPath, targetPath, readonly, volumeCapability: capability }
    await this.call(Node.method.nodePublishVolume, request)
  }

  async unpublish(volumeId: string, targetPath: string): Promise<void> {
    await this.call(Node.method.nodeUnpublishVolume, { volumeId, targetPath })
  }

  async unstage(volumeId: string, stagingTargetPath: string): Promise<void> {
    await this.call(Node.method.nodeUnstageVolume, { volumeId, stagingTargetPath })
  }

  /** The reasons of NodeGetVolumeHealth, sorted. */
  async reasons(volumeId: string): Promise<string[]> {
    const { volumeHealth } = await this.call(Node.method.nodeGetVolumeHealth, { volumeId })
    return (volumeHealth?.healthStatuses ?? []).map(({ reason }) => reason).sort()
  }

  /** Process ids of the FUSE daemons in this sandbox. */
  daemons(): number[] {
    return this.#sandbox.processes('dummy-fuse')
  }

  /** The process that serves a mount point. */
  daemonOf(path: string): number {
    const found = this.daemons().find((pid) => argumentsOf(pid).at(-1) === path)
    if (found === undefined) throw new Error(`no dummy-fuse serves ${path}`)
    return found
  }

  /** Ends what serves a mount point with SIGKILL and waits until it is gone. */
  async killDaemon(path: string): Promise<void> {
    const pid = this.daemonOf(path)
    process.kill(pid, 'SIGKILL')
    // Its arguments go first, its descriptors and with them the connection later.
    await eventually(`dummy-fuse[${pid}] is gone`, () => processStat(pid) === undefined)
  }

  /** The files of the mount cache, with their kind's folder: `staged/vol-….json`. */
  entries(): string[] {
    return entriesBelow(this.stateDir)
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#running.child.kill('SIGKILL')
    await this.#ended()
  }

  /** SIGTERM; resolves to how it ended. */
  async stop(): Promise<Result> {
    this.#running.child.kill('SIGTERM')
    return await this.#running.ended
  }

  /** Starts again after {@link kill} or {@link stop}, with the words it had and others after them; the log begins anew. */
  async restart(args: readonly string[] = []): Promise<void> {
    await this.restartUnrestored(args)
    await this.#restored()
  }

  /** Like {@link restart}, but resolves once the socket takes connections: volumes may still be restored. */
  async restartUnrestored(args: readonly string[] = []): Promise<void> {
    this.#client[Symbol.dispose]()
    this.#running = this.#execute(args)
    this.#client = new CsiClient(this.socket)
    await this.#listening()
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
  }

  #execute(further: readonly string[]): Running {
    const { args: common = [], env = {}, by = [], log, callDeadline } = this.#options
    const deadline = callDeadline === undefined ? [] : ['--call-deadline', String(callDeadline)]
    const own = ['serve', '--endpoint', `unix://${this.socket}`, '--state-dir', this.stateDir, ...deadline, ...common, ...further]
    const [file = EXECUTABLE, ...args] = [...by, EXECUTABLE, ...own]
    const fd = log === undefined ? 'pipe' : openSync(log, 'w')
    try {
      return this.#sandbox.start(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', fd] })
    } finally {
      if (fd !== 'pipe') closeSync(fd)
    }
  }

  async #listening(): Promise<void> {
    // A dummy-fused that the plugin starts says so too, of its own socket. A log of JSON escapes the quotes.
    const line = `Listening for connections on &net.UnixAddr{Name:${JSON.stringify(this.socket)}`
    await this.#until('listens', async () => this.log().replaceAll('\\"', '"').includes(line) && (await hasListener(this.socket)))
  }

  /** On a busy machine the socket is opened before all volumes are restored. */
  async #restored(): Promise<void> {
    await this.#until('has restored its volumes', () => {
      const log = this.log()
      return !log.includes('volumes are still being re-mounted') || log.includes('All volumes have been re-mounted')
    })
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const { child } = this.#running
    await eventually(
      `the plugin ${what}; it said: ${this.log()}`,
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the plugin ended: ${this.log()}`)
        return await condition()
      },
      START_LIMIT,
    )
  }

  /** A detached daemon holds the log's pipe, so that it is not closed when the plugin ends. */
  async #ended(): Promise<void> {
    const { child } = this.#running
    await eventually('the plugin ends', () => child.exitCode !== null || child.signalCode !== null)
  }
}

/** The files of the mount cache below a plugin's state folder, with their kind's folder: `staged/vol-….json`. */
export function entriesBelow(stateDir: string): string[] {
  return ['staged', 'published'].flatMap((kind) => {
    const folder = join(stateDir, 'mountcache', kind)
    return existsSync(folder) ? readdirSync(folder).map((name) => `${kind}/${name}`) : []
  })
}

/** A capability for a mount; `flags` are its mount flags. */
export function mountCapability(
  mode: keyof typeof Mode = 'MULTI_NODE_READER_ONLY',
  mountFlags: readonly string[] = [],
  fsType = '',
): Capability {
  return { accessType: { case: 'mount', value: { mountFlags: [...mountFlags], fsType } }, accessMode: { mode: Mode[mode] } }
}

/** A plugin with one daemon for all volumes. Its first call starts the daemon, for which a busy machine needs longer than the ten seconds of a call. */
export const SHARED_DAEMON = { args: ['--daemons', 'shared'], callDeadline: 60 } as const satisfies PluginOptions

/** The port on which a plugin with `--metrics-address` serves metrics. */
export async function metricsPort(plugin: Plugin): Promise<number> {
  const line = await eventually('metrics are served', () => /Metrics are served on port (\d+)/.exec(plugin.log()))
  return Number(line[1])
}
