import { type CallContext, isCallEnded, unlessAborted } from '../call-context.ts'
import { VolumeError } from './errors.ts'

/** The restoring of one volume. */
export interface UnderWay {
  /** Settles when it is over. */
  readonly restored: Promise<void>
  /** Brings it forward, because a client waits for it. */
  readonly hurry: () => void
  /** Stops it and undoes the entry that is half restored. Resolves when that is done. It goes on when the result is disposed. */
  readonly pause: () => Promise<Disposable>
}

/** The volumes that a plugin which has just started is still restoring. A call waits for its own volume alone, which is restored next. */
export class Restoration {
  readonly #underWay = new Map<string, UnderWay>()
  #changed: () => void = () => undefined

  /** How many volumes are left. */
  get left(): number {
    return this.#underWay.size
  }

  /** Calls `listener` whenever a volume is restored, or has failed to be. */
  onChange(listener: () => void): void {
    this.#changed = listener
  }

  /** Notes that a volume is being restored until `underWay.restored` settles. */
  begin(volumeId: string, underWay: UnderWay): void {
    const { restored } = underWay
    this.#underWay.set(volumeId, underWay)
    const end = (): void => {
      this.#underWay.delete(volumeId)
      this.#changed()
    }
    restored.then(end, end)
  }

  /** Whether a volume is being restored. */
  has(volumeId: string): boolean {
    return this.#underWay.has(volumeId)
  }

  /** Resolves when a volume is not being restored. Throws VolumeError `unavailable` if it still is when the call's deadline comes. */
  async of(volumeId: string, call: CallContext): Promise<void> {
    const underWay = this.#underWay.get(volumeId)
    if (underWay === undefined) return
    underWay.hurry()
    await inTime(underWay.restored, volumeId, call)
  }

  /**
   * Stops the restoring of a volume for a call that unmounts it. Resolves when nothing is being done to the volume. The rest is restored when the
   * result is disposed. Throws VolumeError `unavailable` if that takes longer than the call's deadline.
   */
  async pause(volumeId: string, call: CallContext): Promise<Disposable> {
    const underWay = this.#underWay.get(volumeId)
    if (underWay === undefined) return { [Symbol.dispose]: () => undefined }
    const paused = underWay.pause()
    try {
      return await inTime(paused, volumeId, call)
    } catch (error) {
      paused.then((late) => late[Symbol.dispose]()).catch(() => undefined)
      throw error
    }
  }
}

async function inTime<T>(work: Promise<T>, volumeId: string, call: CallContext): Promise<T> {
  try {
    return await unlessAborted(work, call.signal)
  } catch (error) {
    if (!isCallEnded(error) || error.kind !== 'deadline') throw error
    throw new VolumeError('unavailable', `volume ${volumeId} is being mounted again after the plugin's start; call again`)
  }
}
