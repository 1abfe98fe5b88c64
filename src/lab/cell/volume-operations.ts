import { CallError } from '../../grpc/client.ts'
import { isFinal } from '../final-answer.ts'
import type { Kubelet, Volume } from '../kubelet.ts'
import { until } from '../wait.ts'

/**
 * What the kubelet does with a volume on its node, one thing at a time. It stages the volume for the first pod, and not again as long as
 * pods use it, whatever becomes of the mount (kubernetes pkg/kubelet/volumemanager, the actual state of the world).
 */
export class VolumeOperations {
  readonly #kubelet: Kubelet
  #volume: Volume
  #staged = false
  /** The pods that have the volume, or may have it because their publication failed. */
  readonly #pods = new Set<string>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(kubelet: Kubelet, volume: Volume) {
    this.#kubelet = kubelet
    this.#volume = volume
  }

  get volume(): Volume {
    return this.#volume
  }

  /** The volume as the answer to CreateVolume has it. It keeps its name on the node. */
  created(volume: Volume): void {
    this.#volume = volume
  }

  /** Whether it has been staged, and not unstaged since. */
  get isStaged(): boolean {
    return this.#staged
  }

  /** Publishes it for a pod, and stages it before if it is not. Rejects with CallError. */
  async publish(podUid: string): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#staged) await this.#kubelet.stage(this.#volume)
      this.#staged = true
      this.#pods.add(podUid)
      await this.#kubelet.publish(this.#volume, podUid)
    })
  }

  /** Unpublishes it for a pod. Rejects with CallError. */
  async unpublish(podUid: string): Promise<void> {
    await this.#inTurn(async () => {
      await this.#kubelet.unpublish(this.#volume, podUid)
      this.#pods.delete(podUid)
    })
  }

  /** Whether a pod has the volume, or may have it because an attempt to publish or to unpublish it failed. */
  get isUsed(): boolean {
    return this.#pods.size > 0
  }

  /** Unstages it, after its last pod. Rejects with CallError, and the volume counts as staged then. */
  async unstage(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#kubelet.unstage(this.#volume)
      this.#staged = false
    })
  }

  /** It counts as not staged, so that it is staged for the next pod: after a crash of the machine, or where unstaging it fails. */
  forget(): void {
    this.#staged = false
    this.#pods.clear()
  }

  async #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(act)
    this.#last = turn.catch(() => undefined)
    await turn
  }
}

/**
 * Calls `act` again until it succeeds, as the kubelet does. Rejects with the last CallError if that takes too long, and at once with one that stays the
 * same.
 */
export async function callUntilOk(what: string, act: () => Promise<void>): Promise<void> {
  let failure: CallError | undefined
  const attempt = async (): Promise<boolean> => {
    try {
      await act()
      return true
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      failure = error
      if (isFinal(error)) throw error
      return false
    }
  }
  await until(what, attempt).catch((error: unknown) => {
    throw failure ?? error
  })
}
