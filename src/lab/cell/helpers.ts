import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { descendantsOf } from '../../os/processes/child-processes.ts'
import { describeEnd } from '../../os/processes/child-program.ts'
import type { HelperSpec } from '../driver/spec.ts'
import { runShell } from '../shell.ts'
import { StartedProcess } from '../started-process.ts'
import { until } from '../wait.ts'
import type { HelperControl, StorageControl } from './harness.ts'
import { killAll, signalAll, stopAll } from './node-processes.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds until a service that has ended is started again, as systemd's RestartSec has it. */
const RESTART = 100

/** Programs that run beside a driver's plugin, in the order in which they are started. */
export class Helpers {
  readonly #all: readonly Helper[]

  /** `env`: variables of their environment, beside those of the node. */
  constructor(specs: readonly HelperSpec[], env: Readonly<Record<string, string>>, timeline: Timeline) {
    this.#all = specs.map((spec) => new Helper(spec, env, timeline))
  }

  /** Starts those that are not started, each when the one before is ready. Rejects with an Error that names the one that is not ready in time. */
  async start(): Promise<void> {
    for (const helper of this.#all) await helper.start()
  }

  /** SIGKILL; resolves when they have ended. */
  async end(): Promise<void> {
    for (const helper of this.#all.toReversed()) await helper.end()
  }

  /** Those that are not the storage of the volume, in the order in which they are started. */
  get others(): readonly HelperControl[] {
    return this.#all.filter((helper) => !helper.isStorage)
  }

  /** Those that are the storage of the volume; undefined if none is. */
  get storage(): StorageControl | undefined {
    const all = this.#all.filter((helper) => helper.isStorage)
    if (all.length === 0) return undefined
    const pids = (): readonly number[] => all.flatMap((helper) => helper.pids())
    return {
      pids: async () => await Promise.resolve(all.flatMap(runningOf)),
      hang: async () => {
        await stopAll(all.flatMap(runningOf))
      },
      resume: async () => {
        signalAll(pids(), 'SIGCONT')
        await Promise.resolve()
      },
      kill: async () => {
        for (const helper of all.toReversed()) await helper.end()
      },
      start: async () => {
        for (const helper of all) await helper.start()
      },
    }
  }
}

class Helper implements HelperControl {
  readonly #spec: HelperSpec
  readonly #env: Readonly<Record<string, string>>
  readonly #timeline: Timeline
  readonly #lane: string
  #process: StartedProcess | undefined
  #wanted = false
  #ready = false

  constructor(spec: HelperSpec, env: Readonly<Record<string, string>>, timeline: Timeline) {
    this.#spec = spec
    this.#env = env
    this.#timeline = timeline
    this.#lane = `helper-${spec.name}`
  }

  async start(): Promise<void> {
    if (this.#wanted) return
    this.#wanted = true
    await this.#launch(this.#process === undefined ? 'start' : 'restart')
  }

  get isStorage(): boolean {
    return this.#spec.storage
  }

  get name(): string {
    return this.#spec.name
  }

  get belongs(): HelperSpec['belongs'] {
    return this.#spec.belongs
  }

  /** Its processes: the one that was started, and those that it has started. */
  pids(): readonly number[] {
    const process = this.#process
    return process?.running === true ? [process.pid, ...descendantsOf(process.pid)] : []
  }

  /** SIGKILL to all its processes; resolves when they have ended. */
  async end(): Promise<void> {
    this.#wanted = false
    await this.crash()
  }

  async crash(): Promise<void> {
    this.#ready = false
    const pids = this.pids()
    if (pids.length === 0) return
    await killAll(pids)
    await this.#process?.ended()
  }

  async restarted(): Promise<void> {
    if (this.#spec.belongs !== 'service') return
    await until(`the helper ${this.#spec.name} is started again and ready`, () => this.#ready)
  }

  async #launch(kind: 'start' | 'restart'): Promise<void> {
    const { name, command, ready } = this.#spec
    const [executable = '', ...args] = command
    const log = this.#timeline.newLog(this.#lane)
    const process = await StartedProcess.start({ executable, args, argv0: executable }, log, this.#env).catch((error: unknown) => {
      throw new Error(`the helper ${name} cannot be started: ${messageOf(error)}`, { cause: error })
    })
    this.#process = process
    this.#timeline.lane(this.#lane, 'process', `Helper ${name}`, process.pid)
    this.#timeline.note(this.#lane, kind, `process ${process.pid}`)
    this.#mind(process).catch((error: unknown) => {
      this.#timeline.note(this.#lane, 'log', messageOf(error))
    })
    if (ready === undefined) {
      this.#ready = process.running
      return
    }
    const ended = async (when: string): Promise<Error> => {
      const end = describeEnd(await process.ended())
      return new Error(`the helper ${name} ended ${when} it was ready (${end}); its command has to stay in the foreground`)
    }
    const isReady = async (): Promise<'ready' | 'ended' | false> => {
      if ((await runShell([], ready)).status === 0) return 'ready'
      return process.running ? false : 'ended'
    }
    if ((await until(`the helper ${name} is ready (${ready})`, isReady)) === 'ended') throw await ended('before')
    // One that has gone to the background cannot be stopped, and nobody would see its end.
    if (!process.running) throw await ended('when')
    this.#ready = true
  }

  /** Notes its end, and starts a service again. */
  async #mind(process: StartedProcess): Promise<void> {
    const { belongs } = this.#spec
    this.#timeline.note(this.#lane, 'end', describeEnd(await process.ending))
    if (belongs !== 'service') return
    await sleep(RESTART)
    if (this.#wanted) await this.#launch('restart')
  }
}

/** The processes of a helper that a failure is to strike. Throws an Error if it has none. */
export function runningOf(helper: Pick<HelperControl, 'name' | 'pids'>): readonly number[] {
  const pids = helper.pids()
  if (pids.length === 0)
    throw new Error(
      `the helper ${helper.name} cannot be struck, because its process has ended; its command has to stay in the foreground`,
    )
  return pids
}
