import { randomUUID } from 'node:crypto'
import { targetPath } from '../node-paths.ts'
import { nodeMounts } from './evidence.ts'
import type { PassingPod } from './harness.ts'
import { callUntilOk, type VolumeOperations } from './volume-operations.ts'

/** A pod of a private node whose volume is published and unpublished, and that runs nothing. */
export class PrivatePassingPod implements PassingPod {
  readonly #uid = randomUUID()
  readonly #operations: VolumeOperations

  constructor(operations: VolumeOperations) {
    this.#operations = operations
  }

  /** Rejects with CallError if the plugin answers with an error. */
  async arrive(): Promise<void> {
    await callUntilOk('a pod is given the volume', () => this.#operations.publish(this.#uid))
  }

  /** Rejects with CallError if the plugin answers with an error. */
  async depart(): Promise<void> {
    await callUntilOk('its volume is taken from it', () => this.#operations.unpublish(this.#uid))
  }

  async left(): Promise<string | undefined> {
    const target = targetPath(this.#uid, this.#operations.volume.pv)
    const mounted = nodeMounts().some((line) => line.includes(` ${target} `))
    return await Promise.resolve(
      mounted ? `the volume is mounted again at ${target}, where it was unpublished before the failure` : undefined,
    )
  }
}
