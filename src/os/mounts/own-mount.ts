import { detachLayers } from './detaching.ts'
import type { Libc } from '../libc.ts'
import { deviceAt, type MountTable } from './mount-table.ts'

/** The file system that this process has mounted at a path, identified by its super block. */
export class OwnMount {
  readonly path: string
  /** `major:minor`, as in mountinfo; undefined if it was unmounted before it could be determined. */
  readonly device: string | undefined
  readonly #table: MountTable
  readonly #libc: Libc

  /**
   * To be made after the mount. `device`: its super block. If that is not known, the topmost one at the path is taken, which another program may have
   * mounted there since.
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

  /** Whether another mount is on top of it at its path. */
  get covered(): boolean {
    return !this.there && this.#table.layers(this.path).some(({ device }) => device === this.device)
  }

  /** Unmounts it and each of its binds at its path, also while they are in use. Throws SystemError. */
  detach(): void {
    detachLayers(this.#libc, this.path, (device) => device === this.device)
  }
}
