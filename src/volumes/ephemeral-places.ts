import { join } from 'node:path'
import { fileNameFor } from './mount-cache-file-name.ts'

/**
 * Where the sessions of inline ephemeral volumes are mounted. NodePublishVolume names no staging path for them, so the plugin stages each at a path of its
 * own, from where it is bound to its target as any other volume. A restore, health and the status are then the same for both kinds.
 */
export class EphemeralPlaces {
  /** Without symbolic links. */
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** The staging path of an inline ephemeral volume. */
  of(volumeId: string): string {
    return join(this.folder, fileNameFor(volumeId).replace(/\.json$/, ''))
  }
}
