import { messageOf } from '../../errors.ts'
import type { Consumer } from '../cell/harness.ts'
import { ReadLog } from '../cell/read-log.ts'
import type { ReaderProgram } from '../cell/reader-programs.ts'
import type { Timeline } from '../cell/timeline.ts'
import type { Clock } from '../clock.ts'
import type { ConsumerSpec } from '../matrix/consumers.ts'
import type { AgentLink } from './agent-link.ts'
import { type ClusterApi, PATHS } from './cluster-api.ts'
import { followContainers } from './log-follower.ts'
import type { CellNames } from './names.ts'
import { consumerPod, CONTAINERS, folderInPod, type Placement } from './objects.ts'
import { containerOf, type Pods, type PodState } from './pods.ts'

/** A read that has been under way for so long hangs, in milliseconds: its end comes through a log, which may be late. */
const HANGS = 5000

/** Reasons of events and waiting containers that say that an attempt to start a pod has failed. */
const FAILED = /^(Failed|FailedMount|FailedAttachVolume|CreateContainerError|CreateContainerConfigError|RunContainerError)$/

/** What the consumers of a cell are made of. */
export interface Around {
  readonly api: ClusterApi
  readonly agent: AgentLink
  readonly pods: Pods
  readonly names: CellNames
  readonly placement: Placement
  readonly clock: Clock
  readonly timeline: Timeline
  readonly reader: ReaderProgram
}

/** A consumer as a pod of a cluster: the kubelet mounts its volume, starts it, and starts it again. The lab creates the pod and reads its log. */
export class ClusterConsumer implements Consumer {
  readonly kind: ConsumerSpec
  readonly reads = new ReadLog(HANGS)
  readonly #around: Around
  readonly #pod: string
  #unsubscribe: (() => void) | undefined
  #failed: Error | undefined
  #runningSince: number | undefined
  #started = false
  #startedAt: number | undefined
  #wantedAt: number | undefined
  #failedToStart = false
  #restarts = 0
  #uid = ''
  #container = ''
  #complaint = ''
  #lastLineMs = -Infinity

  constructor(kind: ConsumerSpec, around: Around) {
    this.kind = kind
    this.#around = around
    this.#pod = `${around.names.driver}-${kind.id}`
    around.timeline.lane(kind.id, 'consumer', kind.title)
  }

  get target(): string {
    return this.#around.names.target(this.#uid, this.kind.volume)
  }

  get pid(): number | undefined {
    return this.#runningSince === undefined ? undefined : 0
  }

  get runningSince(): number | undefined {
    return this.#runningSince
  }

  get started(): boolean {
    return this.#started
  }

  get startedAt(): number | undefined {
    return this.#startedAt
  }

  get wantedAt(): number | undefined {
    return this.#wantedAt
  }

  /** The attempts are the kubelet's, which does not tell of each. The watch of a cluster is longer than any of them. */
  failedSince(): boolean {
    return true
  }

  get failedToStart(): boolean {
    return this.#failedToStart
  }

  get restarts(): number {
    return this.#restarts
  }

  /** Why its pod could not be created, or its log not be read; undefined if all is well. */
  get failed(): Error | undefined {
    return this.#failed
  }

  /** What Kubernetes says about a pod that does not run. */
  get complaint(): string {
    return this.#complaint
  }

  want(): void {
    const { api, pods, names, placement, reader } = this.#around
    this.#unsubscribe ??= pods.onChange((pod) => {
      if (pod.metadata.name === this.#pod) this.#see(pod)
    })
    this.#wantedAt ??= this.#around.clock()
    const flags = reader.flags(this.kind)
    this.#work(async () => {
      const { metadata } = await api.create(
        PATHS.pods(names.run),
        consumerPod(names, placement, this.kind, { name: this.#pod, flags }),
      )
      this.#uid = metadata.uid
      await this.#follow()
    })
  }

  async mountTable(): Promise<readonly string[]> {
    if (this.#runningSince === undefined) return []
    const { agent, names } = this.#around
    const below = folderInPod(names, this.kind, this.#uid)
    return await agent.ask('podMounts', { pod: this.#uid, comm: 'lab-consumer', below }).catch(() => [])
  }

  /** Ends what it does in the background. The pod stays. */
  stop(): void {
    this.#unsubscribe?.()
  }

  #work(act: () => Promise<void>): void {
    act().catch((error: unknown) => {
      if (this.#around.api.signal.aborted) return
      this.#failed = new Error(`pod ${this.#pod}: ${messageOf(error)}`, { cause: error })
    })
  }

  /** What the kubelet says of its container. */
  #see(pod: PodState): void {
    const { clock, timeline } = this.#around
    const { id } = this.kind
    const container = containerOf(pod, CONTAINERS.consumer)
    if (container === undefined) return
    const { running, waiting, terminated } = container.state
    const isRunning = running !== null && running !== undefined
    if (!isRunning && this.#runningSince !== undefined) {
      timeline.note(id, 'end', `ended${terminated?.exitCode === undefined ? '' : ` with exit status ${terminated.exitCode}`}`)
      this.#runningSince = undefined
    }
    if (waiting !== null && waiting !== undefined && FAILED.test(waiting.reason)) {
      if (!this.#started) this.#failedToStart = true
      this.#complain(`${waiting.reason}: ${waiting.message}`)
    }
    if (!isRunning || container.containerID === this.#container) return
    this.#container = container.containerID
    this.#restarts = container.restartCount
    this.#runningSince = clock()
    this.#startedAt ??= this.#runningSince
    timeline.note(id, this.#started ? 'restart' : 'start', this.#started ? 'started again' : 'started')
    if (!this.#started) this.#work(() => this.#lookAtEvents())
    this.#started = true
  }

  /** The events of its pod say whether a mount had failed before it started. */
  async #lookAtEvents(): Promise<void> {
    const { api, names } = this.#around
    const events = await api.list(PATHS.events(names.run), { fieldSelector: `involvedObject.uid=${this.#uid},type=Warning` })
    for (const { reason, message } of events as readonly { reason?: unknown; message?: unknown }[]) {
      if (typeof reason !== 'string' || !FAILED.test(reason)) continue
      this.#failedToStart = true
      if (typeof message === 'string') this.#complain(`${reason}: ${message}`)
    }
  }

  #complain(words: string): void {
    if (words !== this.#complaint) this.#around.timeline.note(this.kind.id, 'log', words)
    this.#complaint = words
  }

  /** Follows its log until the signal is aborted. */
  async #follow(): Promise<void> {
    const { api, pods, names } = this.#around
    const logged = { namespace: names.run, pod: this.#pod, container: CONTAINERS.consumer }
    const onEnd = (): void => {
      this.reads.processEnded()
    }
    await followContainers(api, pods, logged, (line) => this.#take(line), onEnd)
  }

  #take(line: string): void {
    const { clock, reader, timeline } = this.#around
    const at = timeOf(line)
    if (at !== undefined) {
      if (at <= this.#lastLineMs) return
      this.#lastLineMs = at
    }
    if (!reader.follow({ atMs: clock(), line }, this.reads)) timeline.logNow(this.kind.id, line)
  }
}

/** The time of a line of lab-consumer (consumer/line.ts), which rises from line to line also over its restarts; undefined for other lines. */
function timeOf(line: string): number | undefined {
  const [, time] = /"(?:began|ended|at)":([\d.]+)/.exec(line) ?? []
  return time === undefined ? undefined : Number(time)
}
