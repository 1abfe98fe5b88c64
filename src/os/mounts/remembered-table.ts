import type { Layer, MountTable, PathState } from './mount-table.ts'

/** A mount table as it was when each path was first asked for: for one look at many paths, whose ancestors are mostly the same. */
export class RememberedTable implements MountTable {
  readonly #table: MountTable
  readonly #seen = new Map<string, PathState>()

  constructor(table: MountTable) {
    this.#table = table
  }

  at(path: string): PathState {
    const seen = this.#seen.get(path) ?? this.#table.at(path)
    this.#seen.set(path, seen)
    return seen
  }

  layers(path: string): readonly Layer[] {
    return this.#table.layers(path)
  }
}
