import { detachLayers } from './detaching.ts'
import type { Libc } from '../libc.ts'
import { deviceAt, type MountTable } from './mount-table.ts'

/** The file system that this process has mounted at a path, told from whatever else comes there by its super block. */
export class OwnMount {
  readonly path: string
  /** `major:minor`, as mountinfo has it; undefined if it was gone again before we could look. */
  readonly device: string | undefined
  readonly #table: MountTable
  readonly #libc: Libc

  /**
   * To be made once the mount stands. `device`: its super block, where that is known; else it is what is topmost at the path now, which may
   * be what somebody has mounted there since.
   */
  constructor(path: string, table: MountTable, libc: Libc, device = deviceAt(table, path)) {
    this.path = path
    this.#table = table
    this.#libc = libc
    this.device = device
  }

  /** Whether it is the topmost mount at its path. */
  get there(): boolean {
    return this.device !== undefined && deviceAt(this.#table, this.path) === this.device
  }

  /** Unmounts it from its path, with each bind of it there, also while it is in use. Throws SystemError. */
  detach(): void {
    detachLayers(this.#libc, this.path, (device) => device === this.device)
  }
}
