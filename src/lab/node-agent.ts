import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Clock } from './clock.ts'
import { type ContainerRuntime, CreateError } from './container-runtime.ts'
import type { Pod } from './pod.ts'
import { STEP_DEADLINE, until } from './wait.ts'

/** Milliseconds between two attempts to start a container. The kubelet's begin at 10 s. */
const BACK_OFF = 250

/** An entry of what `kubectl describe pod` shows. */
export interface PodEvent {
  readonly atMs: number
  readonly type: 'Normal' | 'Warning'
  readonly reason: 'Started' | 'Failed'
  readonly message: string
}

/** Starts one pod's container again whenever it has ended, as the kubelet does under `restartPolicy: Always`. */
export class NodeAgent implements AsyncDisposable {
  readonly events: PodEvent[] = []
  readonly #pod: Pod
  readonly #runtime: ContainerRuntime
  readonly #clock: Clock
  readonly #stop = Promise.withResolvers<undefined>()
  readonly #watching: Promise<void>
  #stopped = false
  #failure: Error | undefined

  /** Starts the first container, and watches from then on. */
  constructor(pod: Pod, runtime: ContainerRuntime, clock: Clock) {
    this.#pod = pod
    this.#runtime = runtime
    this.#clock = clock
    this.#watching = this.#watch().catch((error: unknown) => {
      this.#failure = new Error(`the node agent gave up: ${messageOf(error)}`, { cause: error })
    })
  }

  /** How often a container was started after the first. */
  get restarts(): number {
    return Math.max(0, this.events.filter(({ reason }) => reason === 'Started').length - 1)
  }

  /** Waits for an event among those after `sinceMs`, at most `deadline` milliseconds. Throws what made the agent give up. */
  async event(reason: PodEvent['reason'], sinceMs = 0, deadline = STEP_DEADLINE): Promise<PodEvent> {
    const look = (): PodEvent | undefined => {
      if (this.#failure !== undefined) throw this.#failure
      return this.events.find((event) => event.reason === reason && event.atMs >= sinceMs)
    }
    return await until(`an event ${reason} of ${this.#pod.name}`, look, deadline)
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      try {
        const container = await this.#runtime.start(this.#pod)
        this.#record('Normal', 'Started', 'Started container dummy-workload')
        await Promise.race([container.ending, this.#stop.promise])
      } catch (error) {
        if (!(error instanceof CreateError)) throw error
        this.#record('Warning', 'Failed', error.message)
        await sleep(BACK_OFF)
      }
    }
  }

  #record(type: PodEvent['type'], reason: PodEvent['reason'], message: string): void {
    this.events.push({ atMs: this.#clock(), type, reason, message })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    this.#stop.resolve(undefined)
    await this.#watching
  }
}

/** The events as `kubectl describe pod` lays them out, each with its time into the scenario instead of its age. */
export function eventTable(events: readonly PodEvent[]): readonly string[] {
  const rows = [
    ['Type', 'Reason', 'At', 'From', 'Message'],
    ['----', '------', '--', '----', '-------'],
    ...events.map(({ type, reason, atMs, message }) => [type, reason, `${(atMs / 1000).toFixed(1)}s`, 'kubelet', message]),
  ]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
}
