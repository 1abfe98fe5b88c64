import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { CallError } from '../../grpc/client.ts'
import { isFinal } from '../final-answer.ts'
import { STEP_DEADLINE, until } from '../wait.ts'
import type { CellConsumer } from './cell-consumer.ts'
import type { PodControl } from './harness.ts'
import type { Timeline } from './timeline.ts'
import { callUntilOk, type VolumeOperations } from './volume-operations.ts'

/** The consumer whose pod is as Kubernetes makes one by default. */
const ORDINARY = 'private'

/** Milliseconds between two attempts at a call. */
const BACK_OFF = 250

/** Milliseconds for which a call is repeated that the plugin has ended with an error. The answer seldom changes, and no Deployment waits for it. */
const ANSWERED = 3000

/** Codes of a call that the plugin has not ended. It is repeated for longer. */
const NOT_ENDED: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'ABORTED', 'CANCELLED'])

/** A pod that was deleted and whose volume could not be unpublished: it stays in Terminating, and its successor has another uid. */
export interface TerminatingPod {
  readonly uid: string
  /** Where its volume is published on the node. */
  readonly target: string
}

/** A pod whose NodeUnpublishVolume has failed. */
interface FailedUnpublish {
  readonly pod: CellConsumer
  readonly error: CallError
}

/**
 * Deletes pods of one volume and makes them anew, in the kubelet's order of calls (kubernetes pkg/kubelet/volumemanager/reconciler): the processes end, then
 * NodeUnpublishVolume for each, then NodeUnstageVolume if no pod has the volume any more. A new pod has a uid of its own. A call that fails is repeated for a time.
 * If it does not succeed, the new pod comes all the same, as a Deployment makes it while the old one is terminating.
 */
export class PodReplacement implements PodControl {
  readonly #consumers: readonly CellConsumer[]
  readonly #operations: VolumeOperations
  readonly #timeline: Timeline
  readonly #terminating: TerminatingPod[] = []

  /** `consumers`: those of the volume. */
  constructor(consumers: readonly CellConsumer[], operations: VolumeOperations, timeline: Timeline) {
    this.#consumers = consumers
    this.#operations = operations
    this.#timeline = timeline
  }

  /** The pods that it has deleted and that are not gone. */
  get terminating(): readonly TerminatingPod[] {
    return this.#terminating
  }

  async replaceOne(): Promise<void> {
    const all = this.#asked
    const one = all.find(({ kind }) => kind.id === ORDINARY) ?? all[0]
    if (one !== undefined) await this.replace([one])
  }

  async replaceAll(): Promise<void> {
    await this.replace(this.#asked)
  }

  /** Deletes these pods and asks for their successors; the first successor has had an attempt to come up before the others are asked for. */
  async replace(pods: readonly CellConsumer[]): Promise<void> {
    await this.#delete(pods)
    for (const pod of pods) pod.renew()
    const [first, ...others] = pods
    if (first === undefined) return
    const from = this.#note(`a new pod takes the place of that of ${first.kind.id}`)
    first.want()
    if (others.length === 0) return
    await until('the first new pod has come or failed', () => first.published || first.failedSince(from)).catch(() => undefined)
    this.#note(`new pods take the place of those of ${others.map(({ kind }) => kind.id).join(', ')}`)
    for (const other of others) other.want()
  }

  get #asked(): readonly CellConsumer[] {
    return this.#consumers.filter(({ wantedAt }) => wantedAt !== undefined)
  }

  async #delete(pods: readonly CellConsumer[]): Promise<void> {
    this.#note(`the pods of ${pods.map(({ kind }) => kind.id).join(', ')} are deleted`)
    await Promise.all(pods.map((pod) => pod.halt()))
    if (!(await this.#unpublished(pods))) return
    if (this.#operations.isUsed) {
      this.#note('NodeUnpublishVolume has succeeded; other pods have the volume, which stays staged')
      return
    }
    await callUntilOk('the volume is unstaged', () => this.#operations.unstage()).then(
      () => this.#note('the last pod has left: NodeUnpublishVolume and NodeUnstageVolume have succeeded'),
      (error: unknown) => this.#note(`NodeUnstageVolume fails: ${messageOf(error)}`),
    )
  }

  /** Calls NodeUnpublishVolume for each of them until it succeeds. Returns whether it has. */
  async #unpublished(pods: readonly CellConsumer[]): Promise<boolean> {
    const began = performance.now()
    const mayChange = ({ error }: FailedUnpublish): boolean =>
      !isFinal(error) && performance.now() - began < (NOT_ENDED.has(error.code) ? STEP_DEADLINE : ANSWERED)
    let failed = await this.#unpublish(pods)
    while (failed.some(mayChange)) {
      await sleep(BACK_OFF)
      failed = await this.#unpublish(failed.map(({ pod }) => pod))
    }
    for (const { pod, error } of failed) {
      this.#note(`NodeUnpublishVolume fails for the pod of ${pod.kind.id}: ${messageOf(error)}`)
      this.#terminating.push({ uid: pod.pod.uid, target: pod.target })
    }
    return failed.length === 0
  }

  async #unpublish(pods: readonly CellConsumer[]): Promise<readonly FailedUnpublish[]> {
    const failed: FailedUnpublish[] = []
    for (const pod of pods) {
      try {
        await this.#operations.unpublish(pod.pod.uid)
      } catch (error) {
        if (!(error instanceof CallError)) throw error
        failed.push({ pod, error })
      }
    }
    return failed
  }

  #note(text: string): number {
    return this.#timeline.note('kubelet', 'log', text)
  }
}
