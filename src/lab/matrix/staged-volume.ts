import type { Kubelet, Volume } from '../kubelet.ts'

/**
 * What the kubelet remembers of a volume on its node: it stages it for the first pod and not again as long as pods use it, whatever becomes
 * of the mount (kubernetes pkg/kubelet/volumemanager, the actual state of the world).
 */
export class StagedVolume {
  readonly #kubelet: Kubelet
  readonly #volume: Volume
  #staging: Promise<void> | undefined

  constructor(kubelet: Kubelet, volume: Volume) {
    this.#kubelet = kubelet
    this.#volume = volume
  }

  /** Stages it if that was not done before. What fails is tried again by the next who asks. */
  async ensure(): Promise<void> {
    this.#staging ??= this.#kubelet.stage(this.#volume).then(
      () => undefined,
      (error: unknown) => {
        this.#staging = undefined
        throw error
      },
    )
    await this.#staging
  }

  /** The last pod that used it has gone. Rejects with CallError; the kubelet believes that it is staged then. */
  async release(): Promise<void> {
    await this.#kubelet.unstage(this.#volume)
    this.forget()
  }

  /** The machine is new. */
  forget(): void {
    this.#staging = undefined
  }
}
