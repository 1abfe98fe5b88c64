import { join } from 'node:path'
import { RunningCall } from '../../src/call-context.ts'
import type { Daemon, FuseHost } from '../../src/hosts/host.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { DelayedFsync } from '../../src/os/descriptors/delayed-fsync.ts'
import { Libc, MS } from '../../src/os/libc.ts'
import { deviceOf, openMountTable, PinnedMountTable } from '../../src/os/mounts/mount-table.ts'
import { PinnedPaths } from '../../src/os/mounts/pinned-paths.ts'
import { type Probe, probe } from '../../src/os/mounts/probe.ts'
import { Prober } from '../../src/os/mounts/prober.ts'
import { Binds } from '../../src/volumes/binds.ts'
import { MountCache } from '../../src/volumes/mount-cache.ts'
import { MountPoints } from '../../src/volumes/mount-points.ts'
import { MountStates } from '../../src/volumes/mount-states.ts'
import { Reachability } from '../../src/volumes/reachability.ts'
import { Sandbox } from './sandbox.ts'
import { BOOT } from './session-records.ts'
import { SilentMount } from './silent-mount.ts'

/** The answer of every mount that serves. */
export function alive(): Promise<Probe> {
  const usage = { blockSize: 0, blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0 }
  return Promise.resolve({ kind: 'alive', usage })
}

/** A host whose sessions are {@link SilentMount}s, and which tells what it was asked for. */
class HostInTest implements Pick<FuseHost, 'start' | 'daemonAt' | 'stop' | 'silence' | 'unmountedSession'> {
  /** `start PATH OPTIONS`, `stop PATH DEVICE GRACE`. */
  readonly asked: string[] = []
  /** Paths whose daemon is stopped by SIGSTOP. */
  readonly stopped = new Set<string>()
  /** Serves all sessions by one daemon. */
  serves: Pick<Daemon, 'serves'> = {}
  /** No daemon can be asked. */
  away = false
  /** Stands around the mount of the next start. */
  starting: (mount: () => void) => Promise<void> | void = (mount) => mount()
  /** The device of the session that runs for every path, and was unmounted there by somebody else. */
  unmounted: string | undefined
  /** Called at each stop. */
  stopping: () => void = () => undefined
  /** What the next stop fails with, once its daemon has ended. */
  stopFailure: Error | undefined
  readonly #sessions = new Map<string, SilentMount>()

  async start(path: string, options: readonly string[]): Promise<Daemon | undefined> {
    this.asked.push(['start', path, ...options].join(' '))
    await this.starting(() => this.#sessions.set(path, new SilentMount(path)))
    return this.#daemon(path)
  }

  daemonAt(path: string): Promise<Daemon | undefined> {
    return Promise.resolve(this.away ? undefined : this.#daemon(path))
  }

  silence(path: string, device: string): Promise<string | undefined> {
    if (this.away) return Promise.resolve('no daemon runs')
    return Promise.resolve(this.#daemon(path)?.device === device ? 'it is served again; call again' : undefined)
  }

  stop(path: string, device: string | undefined, grace: number): Promise<void> {
    this.asked.push(`stop ${path} ${device ?? 'nothing'} ${grace}`)
    this.stopping()
    this.kill(path)
    const { stopFailure } = this
    this.stopFailure = undefined
    return stopFailure === undefined ? Promise.resolve() : Promise.reject(stopFailure)
  }

  unmountedSession(): string | undefined {
    return this.unmounted
  }

  /** The device of the session that was mounted at a path. */
  device(path: string): string {
    const session = this.#sessions.get(path)
    if (session === undefined) throw new Error(`no session is at ${path}`)
    return deviceOf(session.connection)
  }

  /** Ends the daemon of a path: what is mounted there is dead. */
  kill(path: string): void {
    this.#sessions.get(path)?.die()
    this.#sessions.delete(path)
  }

  /** Ends all daemons. */
  killAll(): void {
    for (const path of [...this.#sessions.keys()]) this.kill(path)
  }

  #daemon(path: string): Daemon | undefined {
    if (!this.#sessions.has(path)) return undefined
    return { pid: process.pid, stopped: this.stopped.has(path), device: this.device(path), ...this.serves }
  }
}

/** The parts that a stager and a publisher are put together from: all real but the host. */
export class VolumeParts implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly lines: string[] = []
  readonly host = new HostInTest()
  readonly call = new RunningCall(60_000, { margin: 1000 })
  readonly log = new Logger((line) => this.lines.push(line.slice(20)))
  readonly cache = new MountCache(join(this.sandbox.path, 'mountcache'), new DelayedFsync(this.log), this.log)
  readonly libc = new Libc(new AddonLoader())
  readonly pinnedPaths = new PinnedPaths(this.libc)
  readonly states: MountStates
  readonly points: MountPoints
  readonly reachability: Reachability
  readonly binds: Binds

  /** `ask`: how a mount is asked whether it answers. */
  constructor(ask: (path: string, deadline: number) => Promise<Probe> = probe) {
    this.cache.load()
    const following = openMountTable(this.libc)
    const prober = new Prober({ probe: 30_000, probesAtOnce: 2, promptProbe: 100 }, ask)
    this.states = new MountStates({
      table: new PinnedMountTable(following, this.pinnedPaths),
      host: this.host,
      prober,
      silentMount: 30_000,
    })
    this.points = new MountPoints(this.libc, this.pinnedPaths, this.states)
    this.reachability = new Reachability(following, prober)
    const { libc, pinnedPaths, states, points } = this
    this.binds = new Binds({ libc, pinnedPaths, states, points, limits: { busyAttempts: 20, busyPause: 5 } })
  }

  /** What both a stager and a publisher take. */
  get common(): Pick<VolumeParts, 'states' | 'points' | 'reachability' | 'binds' | 'cache' | 'log'> & { readonly bootId: string } {
    const { states, points, reachability, binds, cache, log } = this
    return { states, points, reachability, binds, cache, bootId: BOOT, log }
  }

  /** A path below the sandbox, which need not be there. */
  path(...names: readonly string[]): string {
    return join(this.sandbox.path, ...names)
  }

  /** mount(2) alone: mount(8) looks at what is mounted, and would wait for a {@link SilentMount}. */
  bind(source: string, target: string): void {
    this.libc.mount(source, target, null, MS.BIND, null)
  }

  /** Lines of the log, as far as they tell of no entry that was saved. */
  linesOfMounts(): string[] {
    return this.lines.filter((line) => !line.startsWith('Saved '))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.call[Symbol.dispose]()
    this.host.killAll()
    await this.sandbox[Symbol.asyncDispose]()
  }
}
