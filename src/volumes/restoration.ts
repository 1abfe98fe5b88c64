import { type CallContext, isCallEnded, unlessAborted } from '../call-context.ts'
import { VolumeError } from './errors.ts'

/** The restoring of one volume. */
export interface UnderWay {
  /** Settles when it is over. */
  readonly restored: Promise<void>
  /** Has it come before those that nobody waits for. */
  readonly hurry: () => void
  /** Undoes what is half done of it, and resolves then; it goes on when what is returned is disposed of. */
  readonly pause: () => Promise<Disposable>
}

/** The volumes that a plugin which has just started is still restoring. A call for one of them waits for that one alone, which comes next then. */
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
   * For a call that takes a mount off: nobody wants it restored first. Resolves when nothing is done to the volume; what is left of it to restore goes on
   * when what is returned is disposed of. Throws VolumeError `unavailable` if it is still being done to when the call's deadline comes.
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
