import { type MountinfoLine, readMountinfo } from '../os/mounts/mountinfo.ts'

/** The mount table of a private node at one time, to tell what was mounted later. */
export class MountSnapshot {
  readonly #table: () => readonly MountinfoLine[]
  #lines: readonly MountinfoLine[]
  #keys: ReadonlySet<string>

  /** Takes it. `table`: reads the mount table of the node. */
  constructor(table = readMountinfo) {
    this.#table = table
    this.#lines = table()
    this.#keys = new Set(this.#lines.map(keyOf))
  }

  /** Takes it anew. */
  take(): void {
    this.#lines = this.#table()
    this.#keys = new Set(this.#lines.map(keyOf))
  }

  /** The mount table as it is now. */
  now(): readonly MountinfoLine[] {
    return this.#table()
  }

  /** Whether this mount is in the snapshot. */
  has(line: MountinfoLine): boolean {
    return this.#keys.has(keyOf(line))
  }

  /** What was mounted later. What the machine has mounted since, and its node has received, is left out. */
  made(): readonly MountinfoLine[] {
    const groups = new Set(this.#lines.flatMap(mastersOf))
    return this.now().filter((line) => !this.has(line) && (isOwn(line) || mastersOf(line).every((group) => groups.has(group))))
  }

  /**
   * Of what was mounted later, what was mounted on the node for sure, and where nothing of that type was. A bind of a folder of the machine that is not below
   * the kubelet's folder is left out: it looks like one that the machine has made.
   */
  left(): readonly MountinfoLine[] {
    const alike = (a: MountinfoLine, b: MountinfoLine): boolean => a.mountPoint === b.mountPoint && a.fsType === b.fsType
    return this.now().filter((line) => !this.has(line) && isOwn(line) && !this.#lines.some((one) => alike(one, line)))
  }
}

/** Whether a mount was made on the private node. What it receives from the machine is a slave, and shared only below the kubelet's folder (namespaces.ts). */
function isOwn(line: MountinfoLine): boolean {
  return mastersOf(line).length === 0 || line.propagation.some((field) => field.startsWith('shared:'))
}

/** The number of a mount, and that of its super block, are used again after an unmount. */
function keyOf({ id, device, mountPoint }: MountinfoLine): string {
  return `${id} ${device} ${mountPoint}`
}

/** The peer groups that a mount receives mounts from: of the machine, as far as the private node goes. */
export function mastersOf({ propagation }: MountinfoLine): readonly string[] {
  return propagation.filter((field) => field.startsWith('master:'))
}
