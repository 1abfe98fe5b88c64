import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processStat } from '../src/os/processes/processes.ts'
import { CallError } from '../test/support/csi-client.ts'
import { Plugin } from '../test/support/plugin.ts'
import { commOf, type Sandbox } from '../test/support/sandbox.ts'
import { FusedDaemon } from './fused.ts'
import { timed } from './measure.ts'
import type { ServedVolume } from './service.ts'
import type { Life } from './spawner.ts'

/** How a plugin has its volumes served: a process for each, one process of its own for all, or a dummy-fused that is there. */
export type HostName = 'child' | 'shared' | 'service'

/** What calls end with that the kubelet repeats. */
const REPEATED = ['UNAVAILABLE', 'ABORTED', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED']

/** Milliseconds that a spare may take to be ready. */
const SPARE_PATIENCE = 2000

/** A plugin under measurement, in a sandbox. */
export class Host {
  readonly plugin: Plugin
  readonly name: HostName
  readonly #sandbox: Sandbox
  readonly #fused: FusedDaemon | undefined
  #hasSpares = true

  private constructor(sandbox: Sandbox, name: HostName, plugin: Plugin, fused: FusedDaemon | undefined) {
    this.#sandbox = sandbox
    this.name = name
    this.plugin = plugin
    this.#fused = fused
  }

  /** Its log goes where a journal would take it: the client that is timed here is not to read it too. */
  static async start(sandbox: Sandbox, name: HostName): Promise<Host> {
    const fused = name === 'service' ? await FusedDaemon.start(sandbox, name) : undefined
    const args = fused !== undefined ? ['--fuse-host', 'service', '--fused-socket', fused.socket] : []
    if (name === 'shared') args.push('--daemons', 'shared')
    const plugin = await Plugin.start(sandbox, { name, args, log: join(sandbox.path, `${name}.log`) })
    return new Host(sandbox, name, plugin, fused)
  }

  /** Volumes whose directories are there. */
  volumes(count: number): readonly ServedVolume[] {
    return Array.from({ length: count }, (_, i) => {
      const id = `${this.name}-${i}`
      const target = join(this.#sandbox.directory('pods', id), 'mount')
      return { id, staging: this.#sandbox.directory('kubelet', id), target }
    })
  }

  /** Stage and Publish. A call that may be repeated is. */
  async begin({ id, staging, target }: ServedVolume): Promise<void> {
    await persist(() => this.plugin.stage(id, staging))
    await persist(() => this.plugin.publish(id, staging, target))
  }

  /** Unpublish and Unstage. A call that may be repeated is. */
  async end({ id, staging, target }: ServedVolume): Promise<void> {
    await persist(() => this.plugin.unpublish(id, target))
    await persist(() => this.plugin.unstage(id, staging))
  }

  /** One volume's whole life. */
  async life(volume: ServedVolume): Promise<Life> {
    return { act: await timed(() => this.begin(volume)), undo: await timed(() => this.end(volume)) }
  }

  /**
   * Waits for a dummy-fuse of the plugin that sleeps: while no volume is staged, it is a spare. A plugin that has none the first time has none
   * at all.
   */
  async spare(): Promise<void> {
    const end = performance.now() + SPARE_PATIENCE
    while (this.#hasSpares && !this.processes('dummy-fuse').some(sleeps)) {
      if (performance.now() > end) this.#hasSpares = false
      await sleep(10)
    }
    // What it does before it sleeps for good is nobody's time.
    await sleep(10)
  }

  /** Processes of one name that the plugin has started. */
  processes(comm: string): readonly number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => commOf(pid) === comm && parentOf(pid) === this.plugin.pid)
  }

  async stop(): Promise<void> {
    await this.plugin.stop()
    this.plugin[Symbol.dispose]()
    await this.#fused?.stop()
  }
}

async function persist(act: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await act()
      return
    } catch (error) {
      if (!(error instanceof CallError) || !REPEATED.includes(error.code)) throw error
    }
  }
}

function sleeps(pid: number): boolean {
  return processStat(pid)?.state === 'S'
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return -1
  }
}
