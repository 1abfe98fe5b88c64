import { LONGEST_COMM, type ProcessStat, processStat } from '../../os/processes/processes.ts'
import type { FuseMounts } from '../fuse-mounts.ts'
import { SHIELD } from '../node-paths.ts'
import type { HolderControl, PluginControl } from './harness.ts'
import type { Helpers } from './helpers.ts'
import { killAll, processesOf, signalAll, stopAll } from './node-processes.ts'
import type { PrivateDaemons } from './private-harness.ts'
import type { Timeline } from './timeline.ts'
import { type FuseHolder, processesWithFuse, whoAnswers } from './who-answers.ts'

/** By what the daemons of a driver are found. */
interface Means {
  readonly plugin: PluginControl
  /** The name that the driver's file gives them; undefined if it gives none. */
  readonly daemon: string | undefined
  /** Whether the daemon is behind a shield, which has the connection. */
  readonly shielded: boolean
  readonly fuse: FuseMounts
  /** Where the volume that is struck may be mounted. */
  readonly paths: () => readonly string[]
  /** What the machine starts before the plugin. */
  readonly helpers: Helpers
  /** Ends all else that runs on the node, and has nothing of it started again. */
  readonly endOthers: () => Promise<void>
  readonly timeline: Timeline
}

/** A process that holds a connection of the volume, and whether it answers there. */
type Tried = FuseHolder & { readonly answers: boolean | undefined }

/**
 * The processes that answer for the volume of somebody's driver, whatever their names, and those that only hold a descriptor of its connections. The process of
 * the plugin counts as one that answers only where no other process does, and never as one that only holds. Behind a shield, those of the file's name answer, and the
 * keeper of the shield only holds.
 */
export class DriverDaemons implements PrivateDaemons {
  readonly holders: HolderControl
  readonly #means: Means
  #answering: readonly ProcessStat[] | undefined
  #holding: readonly ProcessStat[] = []

  constructor(means: Means) {
    this.#means = means
    this.holders = {
      find: async () => {
        await this.#look()
        if (this.#holding.length === 0)
          throw new Error("no process only holds a descriptor of the volume's connection, as one did in the trial")
      },
      pids: () => living(this.#holding),
      kill: async () => {
        await killAll(living(this.#holding))
      },
    }
  }

  async find(): Promise<void> {
    await this.#look()
    if (this.#answering?.length === 0)
      throw new Error("no process is found that answers for the volume; say its name with daemon in the driver's file")
  }

  /** Before `find`: all but the plugin that hold a connection of the volume, and all that have the name of the file. */
  async pids(): Promise<readonly number[]> {
    if (this.#answering !== undefined) return living(this.#answering)
    const { fuse, paths } = this.#means
    const plugins = await this.#means.plugin.pids()
    const connections = fuse.mountsOf(paths())
    const holding = processesWithFuse().filter(({ pid, connection }) => connections.has(connection) && !plugins.includes(pid))
    return [...new Set([...holding.map(({ pid }) => pid), ...this.#named])]
  }

  /** The plugin starts the daemons; the machine has helpers. */
  async start(): Promise<void> {
    await this.#means.helpers.start()
  }

  /** A plugin that answers ends with all that is in its container. */
  async kill(): Promise<void> {
    const { plugin } = this.#means
    const [pids, plugins] = [await this.pids(), await plugin.pids()]
    if (pids.some((pid) => plugins.includes(pid))) await plugin.kill()
    await killAll(pids.filter((pid) => !plugins.includes(pid)))
  }

  async hang(): Promise<void> {
    await stopAll(await this.pids())
  }

  async resume(): Promise<void> {
    signalAll(await this.pids(), 'SIGCONT')
  }

  async upgrade(): Promise<void> {
    await Promise.reject(new Error('the lab does not know how the daemon of this driver is upgraded'))
  }

  /** Ends every process of the node, also those that its file does not name. */
  async crash(): Promise<void> {
    await this.#means.helpers.end()
    await this.#means.endOthers()
  }

  get #named(): readonly number[] {
    const { daemon } = this.#means
    return daemon === undefined ? [] : processesOf(daemon)
  }

  /** Tells apart who answers and who only holds. */
  async #look(): Promise<void> {
    const { fuse, paths, plugin, daemon, shielded } = this.#means
    const mounts = fuse.mountsOf(paths())
    const holders = processesWithFuse().filter(({ connection }) => mounts.has(connection))
    if (shielded) {
      this.#answering = stats(this.#named)
      this.#holding = stats(holders.filter((one) => isNamed(SHIELD.keeper, [one])).map(({ pid }) => pid))
      return
    }
    const plugins = await plugin.pids()
    const found = [...Map.groupBy(await this.#tried(holders, mounts), ({ connection }) => connection).values()]
    const all = found.flatMap((held) => this.#answeringOf(held))
    const daemons = all.filter(({ pid }) => !plugins.includes(pid))
    const answering = daemons.length > 0 ? daemons : all
    const others = holders.filter(({ pid }) => !plugins.includes(pid) && answering.every((one) => one.pid !== pid))
    this.#answering = stats(holders.length === 0 ? this.#named : answering.map(({ pid }) => pid))
    this.#holding = stats(others.map(({ pid }) => pid))
    if (others.length === 0) return
    this.#note(`${named(answering)} answers for the volume; ${named(others)} only holds a descriptor of its connection`)
    if (daemon !== undefined && isNamed(daemon, others) && !isNamed(daemon, answering))
      this.#note(`the file says daemon: ${daemon}, which only holds a descriptor; the failure is about ${named(answering)}`)
  }

  /** The only process of a connection answers there. Others are stopped, one after the other. */
  async #tried(holders: readonly FuseHolder[], mounts: ReadonlyMap<number, string>): Promise<readonly Tried[]> {
    const byConnection = [...Map.groupBy(holders, ({ connection }) => connection).values()]
    const contested = byConnection.filter((held) => held.length > 1).flat()
    if (contested.length > 0) this.#note(`${named(contested)} hold the volume's connection; each is stopped for a moment`)
    const alone = byConnection.filter((held) => held.length === 1).flat()
    return [...alone.map((one) => ({ ...one, answers: true })), ...(await whoAnswers(contested, mounts))]
  }

  /** Of the processes that hold one connection, those that answer. Where none does alone, those of the file's name, or else all. */
  #answeringOf(held: readonly Tried[]): readonly Tried[] {
    const answering = held.filter(({ answers }) => answers === true)
    if (answering.length > 0) return answering
    const { daemon } = this.#means
    const ofName = daemon === undefined ? [] : held.filter((one) => isNamed(daemon, [one]))
    return ofName.length > 0 ? ofName : held
  }

  #note(text: string): void {
    this.#means.timeline.note('node', 'log', text)
  }
}

function isNamed(daemon: string, holders: readonly FuseHolder[]): boolean {
  return holders.some(({ comm }) => comm === daemon.slice(0, LONGEST_COMM))
}

/** `fuse-server[12], fuse-server[15]`. */
function named(holders: readonly FuseHolder[]): string {
  return [...new Set(holders.map(({ comm, pid }) => `${comm}[${pid}]`))].join(', ')
}

function stats(pids: readonly number[]): readonly ProcessStat[] {
  return [...new Set(pids)].flatMap((pid) => processStat(pid) ?? [])
}

/** The ids of those that have not ended. */
function living(all: readonly ProcessStat[]): readonly number[] {
  return all.filter(({ pid, start }) => processStat(pid)?.start === start).map(({ pid }) => pid)
}
