import { type CallContext, isCallEnded, unlessAborted } from '../call-context.ts'
import { VolumeError } from './errors.ts'

/** The volumes that a plugin which has just started is still restoring. A call for one of them waits for that one alone. */
export class Restoration {
  readonly #underWay = new Map<string, Promise<void>>()
  #changed: () => void = () => undefined

  /** How many volumes are left. */
  get left(): number {
    return this.#underWay.size
  }

  /** Calls `listener` whenever a volume is restored, or has failed to be. */
  onChange(listener: () => void): void {
    this.#changed = listener
  }

  /** Notes that a volume is being restored until `restored` settles. */
  begin(volumeId: string, restored: Promise<void>): void {
    this.#underWay.set(volumeId, restored)
    const end = (): void => {
      this.#underWay.delete(volumeId)
      this.#changed()
    }
    restored.then(end, end)
  }

  /** Resolves when a volume is not being restored. Throws VolumeError `unavailable` if it still is when the call's deadline comes. */
  async of(volumeId: string, call: CallContext): Promise<void> {
    const restored = this.#underWay.get(volumeId)
    if (restored === undefined) return
    try {
      await unlessAborted(restored, call.signal)
    } catch (error) {
      if (!isCallEnded(error) || error.kind !== 'deadline') throw error
      throw new VolumeError('unavailable', `volume ${volumeId} is being mounted again after the plugin's start; call again`)
    }
  }
}
