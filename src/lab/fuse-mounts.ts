import { connectionOfDevice, isFuse } from '../os/mounts/mount-table.ts'
import { type MountinfoLine, topmostAt } from '../os/mounts/mountinfo.ts'
import { mastersOf, MountSnapshot } from './mount-snapshot.ts'

/**
 * Tells the FUSE mounts that are made on a private node from those of the machine that the node has copies of: a failure must not reach a
 * session of the machine. Made before anything runs on the node.
 */
export class FuseMounts {
  readonly #before: MountSnapshot

  constructor(before = new MountSnapshot()) {
    this.#before = before
  }

  /** The mount points of the FUSE mounts that were made on the node. */
  paths(): readonly string[] {
    return [...new Set(this.#made(this.#before.now()).map(({ mountPoint }) => mountPoint))]
  }

  /** The connections of the topmost mounts at these paths, as far as they are FUSE mounts that were made on the node. */
  connectionsAt(paths: readonly string[]): readonly number[] {
    return [...this.#mountsAt(paths).keys()]
  }

  /**
   * The connections of a volume that is mounted at these paths, each with one path at which it is mounted; where no mount there is of FUSE, those of all
   * FUSE mounts that were made.
   */
  mountsOf(paths: readonly string[]): ReadonlyMap<number, string> {
    const found = this.#mountsAt(paths)
    return found.size > 0 ? found : this.#mountsAt(this.paths())
  }

  #mountsAt(paths: readonly string[]): ReadonlyMap<number, string> {
    const lines = this.#before.now()
    const made = this.#made(lines)
    const at = paths.flatMap((path) => topmostAt(lines, path) ?? []).filter((line) => made.includes(line))
    return new Map(at.toReversed().map(({ device, mountPoint }) => [connectionOfDevice(device), mountPoint]))
  }

  /** A mount whose super block the machine has mounted too is a bind of a copy. What the machine mounts later comes as a slave of it. */
  #made(lines: readonly MountinfoLine[]): readonly MountinfoLine[] {
    const copies = lines.filter((line) => this.#before.has(line) || mastersOf(line).length > 0)
    const devices = new Set(copies.map(({ device }) => device))
    return lines.filter(({ fsType, device }) => isFuse(fsType) && !devices.has(device))
  }
}
