import { randomUUID } from 'node:crypto'
import { targetPath } from '../node-paths.ts'
import { nodeMounts } from './evidence.ts'
import { callUntilOk, type VolumeOperations } from './volume-operations.ts'

/** A pod whose volume is published and unpublished before the failure. The volume must not be mounted for it again. */
export class DepartedPod {
  readonly #uid = randomUUID()
  readonly #operations: VolumeOperations

  constructor(operations: VolumeOperations) {
    this.#operations = operations
  }

  /** Rejects with CallError if the plugin answers with an error. */
  async publishAndUnpublish(): Promise<void> {
    await callUntilOk('a pod is given the volume', () => this.#operations.publish(this.#uid))
    await callUntilOk('its volume is taken from it', () => this.#operations.unpublish(this.#uid))
  }

  /** A sentence on what is mounted for it all the same; undefined if nothing is. */
  get left(): string | undefined {
    const target = targetPath(this.#uid, this.#operations.volume.pv)
    const mounted = nodeMounts().some((line) => line.includes(` ${target} `))
    return mounted ? `the volume is mounted again at ${target}, where it was unpublished before the failure` : undefined
  }
}
