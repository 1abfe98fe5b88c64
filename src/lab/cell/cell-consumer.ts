import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../../errors.ts'
import { withArgs } from '../command.ts'
import { type ContainerRuntime, CreateError } from '../container-runtime.ts'
import { CallError } from '../../grpc/client.ts'
import { targetPath } from '../node-paths.ts'
import { Pod } from '../pod.ts'
import { ProcessLog } from '../process-log.ts'
import type { StartedProcess } from '../started-process.ts'
import type { Clock } from '../clock.ts'
import type { ConsumerSpec } from '../matrix/consumers.ts'
import { nodeMounts, podMounts } from './evidence.ts'
import type { Consumer } from './harness.ts'
import { ReadLog } from './read-log.ts'
import type { ReaderProgram } from './reader-programs.ts'
import type { VolumeOperations } from './volume-operations.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds between two attempts to bring a consumer up. The kubelet's begin at 500 ms for a volume and 10 s for a container. */
const BACK_OFF = 250

/** Milliseconds that a killed process has to end. A process that waits for a file system may stay until that answers. */
const KILL_DEADLINE = 1000

/** What a consumer is made of. `operations`: for the volume that it reads. */
export interface CellContext {
  readonly clock: Clock
  readonly timeline: Timeline
  readonly runtime: ContainerRuntime
  /** The program of every consumer; `runtime` starts it too. */
  readonly reader: ReaderProgram
  readonly operations: VolumeOperations
  /** The file that consumers read, below the volume. */
  readonly file: string
}

/** A consumer in a cell, and what the kubelet does for it: publishes its volume, starts its container, and starts it again. */
export class CellConsumer implements Consumer {
  readonly kind: ConsumerSpec
  readonly reads = new ReadLog()
  readonly #around: CellContext
  #pod: Pod
  #process: StartedProcess | undefined
  #starts = 0
  #startedAt = 0
  #firstStartedAt: number | undefined
  #wantedAt: number | undefined
  /** When the last attempt that failed began. */
  #failedAttempt = -Infinity
  #failedToStart = false
  #published = false
  #complaint = ''
  /** Resolved when it is no longer wanted; undefined while it is not. */
  #unwanted: PromiseWithResolvers<'unwanted'> | undefined
  #minding: Promise<void> = Promise.resolve()

  constructor(kind: ConsumerSpec, around: CellContext) {
    this.kind = kind
    this.#around = around
    const { clock, timeline, operations, reader } = around
    timeline.lane(kind.id, 'consumer', kind.title)
    const log = new ProcessLog(kind.id, clock, (lane, line) => {
      if (!reader.follow(line, this.reads)) timeline.log(lane, line.atMs, line.line)
    })
    const mounts = kind.place === 'slave-folder' ? 'folder above' : 'volume'
    const propagation = kind.place === 'private' || kind.place === 'node' ? 'None' : 'HostToContainer'
    this.#pod = new Pod(
      { name: kind.id, volume: operations.volume, mounts, propagation, file: around.file, flags: reader.flags(kind) },
      log,
    )
  }

  /** Its pod. A consumer on the node itself uses only the log and the uid of it. */
  get pod(): Pod {
    return this.#pod
  }

  /** Where its volume is published on the node. */
  get target(): string {
    return targetPath(this.pod.uid, this.#around.operations.volume.pv)
  }

  /** The id of its process, if one runs. */
  get pid(): number | undefined {
    return this.#process?.running === true ? this.#process.pid : undefined
  }

  /** Whether its volume is published for it. */
  get published(): boolean {
    return this.#published
  }

  /** When its process was started, if one runs. */
  get runningSince(): number | undefined {
    return this.pid === undefined ? undefined : this.#startedAt
  }

  get started(): boolean {
    return this.#starts > 0
  }

  get startedAt(): number | undefined {
    return this.#firstStartedAt
  }

  get wantedAt(): number | undefined {
    return this.#wantedAt
  }

  failedSince(sinceMs: number): boolean {
    return this.#failedAttempt >= sinceMs
  }

  /** Whether an attempt to bring it up for the first time failed. */
  get failedToStart(): boolean {
    return this.#failedToStart
  }

  /** Why the last attempt to publish its volume, or to start it, failed; empty if none did. */
  get complaint(): string {
    return this.#complaint
  }

  get restarts(): number {
    return Math.max(0, this.#starts - 1)
  }

  /** Starts it in the background, and starts it again whenever it ends, until `halt` or `evict`. */
  want(): void {
    if (this.#unwanted !== undefined) return
    this.#wantedAt ??= this.#around.clock()
    const unwanted = Promise.withResolvers<'unwanted'>()
    this.#unwanted = unwanted
    this.#minding = this.#minding.then(() => this.#mind(unwanted.promise))
  }

  async mountTable(): Promise<readonly string[]> {
    const { pid, target } = this
    if (pid === undefined) return []
    const lines = this.kind.place === 'node' ? nodeMounts().filter((line) => line.includes(` ${target} `)) : podMounts(pid)
    return await Promise.resolve(lines)
  }

  /** Kills its process, as the end of the machine does, and does not start it again. */
  async halt(): Promise<void> {
    this.#unwanted?.resolve('unwanted')
    this.#unwanted = undefined
    await this.#minding
    const process = this.#process
    if (process?.running !== true) return
    process.kill()
    if ((await Promise.race([process.ending, sleep(KILL_DEADLINE)])) !== undefined) await this.#noteEnd(process)
  }

  /** Nothing is published for it any more: the machine has crashed, or its volume was unpublished. */
  forget(): void {
    this.#published = false
  }

  /** Another pod, with a uid and a target of its own, takes the place of one that was halted. Its volume is not published yet. */
  renew(): void {
    this.#pod = new Pod(this.#pod.spec, this.#pod.log)
    this.#published = false
  }

  /** Deletes the pod: kills its process and unpublishes its volume. The pod goes also if the plugin answers with an error. */
  async evict(): Promise<void> {
    await this.halt()
    await this.#around.operations.unpublish(this.pod.uid).catch((error: unknown) => {
      this.#complain(error)
    })
    this.#published = false
  }

  /** The kubelet's loop for one pod: what fails is tried again. */
  async #mind(unwanted: Promise<'unwanted'>): Promise<void> {
    for (;;) {
      const process = await this.#bringUp()
      if (process !== undefined) {
        if ((await Promise.race([unwanted, process.ending])) === 'unwanted') return
        await this.#noteEnd(process)
      }
      if ((await Promise.race([unwanted, sleep(BACK_OFF)])) === 'unwanted') return
    }
  }

  async #bringUp(): Promise<StartedProcess | undefined> {
    const { timeline, operations } = this.#around
    const { id } = this.kind
    const began = this.#around.clock()
    try {
      // A container that is started again keeps its volumes; a pod that is made anew is given them.
      if (!this.#published) {
        await operations.publish(this.pod.uid)
        this.#published = true
      }
      this.#process = await this.#start()
    } catch (error) {
      if (this.#starts === 0) this.#failedToStart = true
      this.#failedAttempt = began
      this.#complain(error)
      return undefined
    }
    this.#starts++
    this.#startedAt = this.#around.clock()
    this.#firstStartedAt ??= this.#startedAt
    timeline.lane(id, 'consumer', this.kind.title, this.#process.pid)
    if (this.#starts === 1) timeline.note(id, 'start', 'started')
    else timeline.note(id, 'restart', 'started again')
    return this.#process
  }

  async #noteEnd(process: StartedProcess): Promise<void> {
    const { status, signal } = await process.ending
    this.reads.processEnded()
    this.#around.timeline.note(
      this.kind.id,
      'end',
      signal === null ? `ended with exit status ${status ?? '?'}` : `ended by ${signal}`,
    )
  }

  async #start(): Promise<StartedProcess> {
    const { runtime, reader, file } = this.#around
    if (this.kind.place !== 'node') return await runtime.start(this.pod)
    const command = withArgs(reader.command, ['--file', join(this.target, file), ...reader.flags(this.kind)])
    return await runtime.run(this.pod, command)
  }

  /** Notes an error, if it differs from the last one. */
  #complain(error: unknown): void {
    if (!(error instanceof CallError) && !(error instanceof CreateError) && codeOf(error) === undefined) throw error
    const words = messageOf(error)
    if (words !== this.#complaint) this.#around.timeline.note(this.kind.id, 'log', words)
    this.#complaint = words
  }
}
