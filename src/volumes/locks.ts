import { VolumeError } from './errors.ts'

/** One operation at a time for each volume; a second is refused, not queued: the CO calls again (CSI spec, concurrency). */
export class VolumeLocks {
  readonly #held = new Map<string, string>()

  /** Takes the lock before anything is awaited; dispose of it to give it back. Throws VolumeError `busy`. */
  take(volumeId: string, operation: string): Disposable {
    const holder = this.#held.get(volumeId)
    if (holder !== undefined) {
      throw new VolumeError('busy', `${holder} of volume ${volumeId} is still under way; call ${operation} again later`)
    }
    this.#held.set(volumeId, operation)
    return {
      [Symbol.dispose]: () => {
        this.#held.delete(volumeId)
      },
    }
  }
}
