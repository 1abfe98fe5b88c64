import { randomUUID } from 'node:crypto'
import { messageOf } from '../../errors.ts'
import { fillPlaces } from '../driver/places.ts'
import type { DriverSpec } from '../driver/spec.ts'
import { targetPath } from '../node-paths.ts'
import type { Provisioner } from '../provisioner.ts'
import type { Timeline } from './timeline.ts'
import { callUntilOk, type VolumeOperations } from './volume-operations.ts'

/** What the volume of a driver's file is made and removed with. */
interface Means {
  readonly driver: DriverSpec
  readonly operations: VolumeOperations
  readonly provisioner: Provisioner
  readonly timeline: Timeline
  /** Runs a command in a shell of the node; rejects if it fails. */
  readonly shell: (command: string) => Promise<string>
}

/** The volume of a driver's file, from CreateVolume and its first content to DeleteVolume, where the file asks for them. */
export class DriverVolume {
  readonly #means: Means
  #exists = false

  constructor(means: Means) {
    this.#means = means
  }

  /** Whether it was created, and not deleted yet. */
  get exists(): boolean {
    return this.#exists
  }

  /** Creates and populates the volume; it stays staged for the pods that come next. Rejects with CallError, or an Error that says which step failed. */
  async make(): Promise<void> {
    const { driver, operations, provisioner, timeline, shell } = this.#means
    const { create, populate } = driver
    if (create !== undefined) {
      const name = `pvc-${randomUUID()}`
      await callUntilOk('the volume is created', async () => {
        operations.created(await provisioner.create(operations.volume, name, create))
      })
      this.#exists = true
      timeline.note('kubelet', 'log', `CreateVolume: volume ${operations.volume.id}`)
    }
    if (populate === undefined) return
    const uid = randomUUID()
    await callUntilOk('the volume is published to be populated', () => operations.publish(uid))
    await shell(fillPlaces(populate, ['target'], () => targetPath(uid, operations.volume.pv)))
    await callUntilOk('the populated volume is unpublished', () => operations.unpublish(uid))
  }

  /** Deletes a volume that was created, after it has left the node. What fails is noted; nothing else can be done about it. */
  async remove(): Promise<void> {
    const { operations, provisioner, timeline } = this.#means
    if (!this.#exists) return
    const what = `DeleteVolume: volume ${operations.volume.id}`
    try {
      await provisioner.delete(operations.volume)
      timeline.note('kubelet', 'log', what)
    } catch (error) {
      timeline.note('kubelet', 'log', `${what}: ${messageOf(error)}`)
    }
  }
}
