import { randomUUID } from 'node:crypto'
import type { Volume } from '../kubelet.ts'
import { targetPath } from '../node-paths.ts'
import { nodeMounts } from './evidence.ts'
import type { VolumeOperations } from './volume-operations.ts'

/** A pod that is given the volume and goes again before the failure: nothing of it may come back. */
export class Leaver {
  readonly #uid = randomUUID()
  readonly #volume: Volume
  readonly #operations: VolumeOperations

  constructor(volume: Volume, operations: VolumeOperations) {
    this.#volume = volume
    this.#operations = operations
  }

  /** Rejects with CallError. */
  async comeAndGo(): Promise<void> {
    await this.#operations.publish(this.#uid)
    await this.#operations.unpublish(this.#uid)
  }

  /** What is mounted for it although it has gone, in words; undefined if nothing is. */
  get left(): string | undefined {
    const target = targetPath(this.#uid, this.#volume.pv)
    const mounted = nodeMounts().some((line) => line.includes(` ${target} `))
    return mounted ? `the volume is mounted again at ${target}, where it was unpublished before the failure` : undefined
  }
}
