import type { MappedPart, MemoryFile } from '../os/descriptors/memory-file.ts'

/** Counts that are mapped at once. */
const PART = 128 * 1024
/** Bytes of a count, a double: 32 bits are not enough for the lookups of a directory that is looked up again and again for days. */
const SIZE = 8

/** Counts in a file in memory, by their slots. A count that has changed is there for a successor at once, without a system call. */
export class KeptCounts {
  readonly #file: MemoryFile
  readonly #place: number
  readonly #parts: { readonly mapped: MappedPart; readonly counts: Float64Array }[] = []
  #next: number
  /** Slots that are not used any more. There are no more of them than slots were used since the counts began. */
  readonly #free: number[] = []

  /** `place`: where they begin in the file. Slots below `first` are the caller's own. */
  constructor(file: MemoryFile, place: number, first: number) {
    this.#file = file
    this.#place = place
    this.#next = first
  }

  /** A slot whose count is 0. Throws SystemError where its part cannot be mapped. */
  allocate(): number {
    const slot = this.#free.pop() ?? this.#next++
    this.set(slot, 0)
    return slot
  }

  /** Slots below this are in use: none of them is given out. */
  beginAt(slot: number): void {
    this.#next = Math.max(this.#next, slot)
    this.#free.length = 0
  }

  /** Its count must not be used any more. */
  free(slot: number): void {
    this.#free.push(slot)
  }

  get(slot: number): number {
    return this.#countsOf(slot)[slot % PART] ?? 0
  }

  set(slot: number, count: number): void {
    this.#countsOf(slot)[slot % PART] = count
  }

  /** They must not be used any more. */
  unmap(): void {
    for (const { mapped } of this.#parts) mapped.unmap()
    this.#parts.length = 0
  }

  #countsOf(slot: number): Float64Array {
    const index = Math.floor(slot / PART)
    while (this.#parts.length <= index) {
      const mapped = this.#file.map(this.#place + this.#parts.length * PART * SIZE, PART * SIZE)
      this.#parts.push({ mapped, counts: new Float64Array(mapped.memory) })
    }
    return this.#parts[index]?.counts ?? new Float64Array(PART)
  }
}
