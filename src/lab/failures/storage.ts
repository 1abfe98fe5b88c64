import type { Harness, StorageControl } from '../cell/harness.ts'

/** The storage of a cell whose failure strikes it. Throws an Error where the lab runs none. */
export function storageOf({ storage }: Harness): StorageControl {
  if (storage === undefined) throw new Error('the lab runs no storage of this volume')
  return storage
}
