import type { CallContext } from '../call-context.ts'
import { isFuse, type Mount, type MountTable } from '../os/mounts/mount-table.ts'
import type { Prober } from '../os/mounts/prober.ts'
import { VolumeError } from './errors.ts'
import { known } from './mount-states.ts'
import { walk } from './path-walk.ts'

/** Makes sure that a system call on a path waits for no FUSE mount above it. */
export class Reachability {
  readonly #table: MountTable
  readonly #prober: Pick<Prober, 'ask'>

  /** `table` follows the symbolic links of a path. */
  constructor(table: MountTable, prober: Pick<Prober, 'ask'>) {
    this.#table = table
    this.#prober = prober
  }

  /**
   * Probes each FUSE mount above a path, and above the links on the way to it. To be called before any other step with the path. Throws VolumeError
   * `precondition` that names the mount which is dead or hung.
   */
  async check(path: string, call: CallContext): Promise<void> {
    for (const { path: at, mount } of walk(this.#table, path, { last: 'keep' })) await this.checkMount(path, at, mount, call)
  }

  /** Probes one mount, `at` a directory on the way to a path, if its type is FUSE. Throws as {@link check} does. */
  async checkMount(path: string, at: string, mount: Mount, call: CallContext): Promise<void> {
    if (!isFuse(mount.fsType)) return
    const { kind } = known(await this.#prober.ask(at, mount.device, call))
    if (kind !== 'alive')
      throw new VolumeError(
        'precondition',
        `${path} lies on ${at}, a ${kind} ${mount.fsType} mount; end or resume its daemon, or unmount it (umount -l ${at})`,
      )
  }
}
