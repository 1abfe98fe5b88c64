import { readFileSync } from 'node:fs'

/** One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)); paths and types are unescaped. */
export interface MountinfoLine {
  readonly id: number
  readonly parentId: number
  /** `major:minor` of the super block. */
  readonly device: string
  readonly root: string
  readonly mountPoint: string
  readonly readonly: boolean
  /** The mount's own: `rw`, `nosuid`, `relatime`. */
  readonly options: readonly string[]
  /** With its subtype: `fuse.dummy-fuse`. */
  readonly fsType: string
  readonly source: string
  /** `shared:N`, `master:N`, `propagate_from:N`, `unbindable`; empty for a private mount. */
  readonly propagation: readonly string[]
}

/** Parses a whole mountinfo file, in the kernel's order: of two mounts on one path the later one is on top. */
export function parseMountinfo(text: string): readonly MountinfoLine[] {
  return text.split('\n').flatMap((line) => {
    const parsed = parseLine(line)
    return parsed === undefined ? [] : [parsed]
  })
}

/** The mount table of this process (proc_pid_mountinfo(5)), as {@link parseMountinfo} has it. Throws Node's error. */
export function readMountinfo(): readonly MountinfoLine[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/**
 * The topmost mount whose root is a path without symbolic links. Goes down from the root, mount by mount, because the file also has mounts that are
 * hidden by a mount on a directory above them.
 */
export function topmostAt(lines: readonly MountinfoLine[], path: string): MountinfoLine | undefined {
  const ids = new Set(lines.map(({ id }) => id))
  // The root's own parent is not in the file; in a chroot that is no mount point, neither are the parents of the mounts below it.
  const isFirst = ({ id, parentId }: MountinfoLine): boolean => id === parentId || !ids.has(parentId)
  const mountedOn = (below: MountinfoLine | undefined, at: string): MountinfoLine | undefined =>
    lines.find(
      (line) => line.mountPoint === at && line !== below && (below === undefined ? isFirst(line) : line.parentId === below.id),
    )

  const names = path.split('/').filter((name) => name !== '')
  let current: MountinfoLine | undefined
  for (let depth = 0; depth <= names.length; depth++) {
    const prefix = `/${names.slice(0, depth).join('/')}`
    for (let next = mountedOn(current, prefix); next !== undefined; next = mountedOn(next, prefix)) current = next
  }
  return current?.mountPoint === path ? current : undefined
}

/** Every mount of one super block, the first mounted first: those of a file system and all its binds. */
export function mountsOfDevice(lines: readonly MountinfoLine[], device: string): readonly MountinfoLine[] {
  return lines.filter((line) => line.device === device)
}

function parseLine(line: string): MountinfoLine | undefined {
  const separator = line.indexOf(' - ')
  if (separator < 0) return undefined
  const [id, parentId, device, root, mountPoint, own = '', ...propagation] = line.slice(0, separator).split(' ')
  const [fsType, source] = line.slice(separator + 3).split(' ')
  if (device === undefined || root === undefined || mountPoint === undefined) return undefined
  const options = own.split(',')
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: unescape(root),
    mountPoint: unescape(mountPoint),
    readonly: options.includes('ro'),
    options,
    fsType: unescape(fsType ?? ''),
    source: unescape(source ?? ''),
    propagation,
  }
}

/** The kernel writes space, tab, line feed and backslash as three octal digits (fs/proc_namespace.c, mangle). */
function unescape(field: string): string {
  if (!field.includes('\\')) return field
  const bytes = Buffer.from(field)
  const out: number[] = []
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    const digits = byte === 0x5c ? bytes.toString('latin1', i + 1, i + 4) : ''
    if (/^[0-7]{3}$/.test(digits)) {
      out.push(parseInt(digits, 8))
      i += 3
    } else out.push(byte)
  }
  return Buffer.from(out).toString()
}
