import { type MountCacheEntry, pathOf } from './mount-cache-entry.ts'

/** Entries of one kind by their paths, of which each has one entry, and by their volumes. */
export class EntryIndex<E extends MountCacheEntry> {
  readonly #byPath = new Map<string, E>()
  readonly #byVolume = new Map<string, Map<string, E>>()

  all(): readonly E[] {
    return [...this.#byPath.values()]
  }

  at(path: string): E | undefined {
    return this.#byPath.get(path)
  }

  of(volumeId: string): readonly E[] {
    return [...(this.#byVolume.get(volumeId)?.values() ?? [])]
  }

  /** In place of the entry of the same path, if there is one. */
  add(entry: E): void {
    const path = pathOf(entry)
    const before = this.#byPath.get(path)
    if (before !== undefined && before.volumeId !== entry.volumeId) this.remove(before)
    this.#byPath.set(path, entry)
    const ofVolume = this.#byVolume.get(entry.volumeId) ?? new Map<string, E>()
    this.#byVolume.set(entry.volumeId, ofVolume.set(path, entry))
  }

  remove(entry: E): void {
    const path = pathOf(entry)
    this.#byPath.delete(path)
    const ofVolume = this.#byVolume.get(entry.volumeId)
    ofVolume?.delete(path)
    if (ofVolume?.size === 0) this.#byVolume.delete(entry.volumeId)
  }
}
