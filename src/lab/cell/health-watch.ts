import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { CallError } from '../../grpc/client.ts'
import { isFinal } from '../final-answer.ts'
import type { Kubelet } from '../kubelet.ts'
import { until } from '../wait.ts'
import type { CellConsumer } from './cell-consumer.ts'
import type { PodReplacement } from './pod-replacement.ts'
import type { VolumeOperations } from './volume-operations.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds between two calls of NodeGetVolumeHealth. */
const INTERVAL = 100
/** Milliseconds that the pods have to run again before the next call. */
const UP = 3000

/** A volume and the pods that may use it. */
export interface WatchedVolume {
  readonly operations: VolumeOperations
  readonly consumers: readonly CellConsumer[]
  readonly pods: PodReplacement
}

/**
 * The node agent that health is made for: asks the plugin for the health of each volume, and deletes and makes anew every pod that uses a
 * volume which is INACCESSIBLE. A plugin that cannot be asked says nothing about the volume, and one whose
 * answer stays the same is not asked again.
 */
export class HealthWatch implements AsyncDisposable {
  readonly #kubelet: Kubelet
  readonly #timeline: Timeline
  readonly #watching: Promise<unknown>
  #ended = false
  #complaint = ''

  constructor(kubelet: Kubelet, watched: readonly WatchedVolume[], timeline: Timeline) {
    this.#kubelet = kubelet
    this.#timeline = timeline
    this.#watching = Promise.all(watched.map((one) => this.#watch(one)))
  }

  async #watch(watched: WatchedVolume): Promise<void> {
    while (!this.#ended) {
      await sleep(INTERVAL)
      try {
        const reasons = await this.#kubelet.inaccessible(watched.operations.volume)
        if (reasons.length > 0) await this.#replace(watched, reasons)
      } catch (error) {
        this.#complain(error)
        if (error instanceof CallError && isFinal(error)) return
      }
    }
  }

  async #replace({ operations, consumers, pods }: WatchedVolume, reasons: readonly string[]): Promise<void> {
    const running = consumers.filter(({ published }) => published)
    this.#timeline.note(
      'kubelet',
      'log',
      `volume ${operations.volume.id} is INACCESSIBLE (${reasons.join(', ')}): its ${running.length} pods are made anew`,
    )
    await pods.replace(running)
    await until('they are up again', () => this.#ended || running.every(({ pid }) => pid !== undefined), UP).catch(() => undefined)
  }

  /** Notes an error, if it differs from the last one. */
  #complain(error: unknown): void {
    if (!(error instanceof CallError)) throw error
    const words = messageOf(error)
    if (words !== this.#complaint) this.#timeline.note('kubelet', 'log', words)
    this.#complaint = words
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    await this.#watching
  }
}
