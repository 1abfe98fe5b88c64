import { VolumeError } from './errors.ts'

/** One operation at a time for each volume and each path; a second is refused, not queued: the CO calls again (CSI spec, concurrency). */
export class VolumeLocks {
  readonly #held = new Map<string, string>()

  /** Takes the locks before anything is awaited; dispose of them to give them back. Throws VolumeError `busy`, and has taken none then. */
  take(volumeId: string, operation: string, ...paths: readonly string[]): Disposable {
    const keys = [`volume ${volumeId}`, ...paths.map((path) => `path ${path}`)]
    const held = keys.find((key) => this.#held.has(key))
    if (held !== undefined) {
      throw new VolumeError('busy', `${this.#held.get(held) ?? ''} is still under way; call ${operation} again later`)
    }
    for (const key of keys) this.#held.set(key, `${operation} of volume ${volumeId}`)
    return {
      [Symbol.dispose]: () => {
        for (const key of keys) this.#held.delete(key)
      },
    }
  }
}
