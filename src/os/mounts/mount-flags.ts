import { MS } from '../libc.ts'

/** MOUNT_ATTR_*: the attributes that each mount of a file system has for itself (include/uapi/linux/mount.h). */
export const MOUNT_ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  RELATIME: 0x0,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const

/** MOUNT_ATTR__ATIME: the bits of the three access time modes. A mount has one of them; the default is relatime, 0. */
export const ATIME = 0x70

/** All attributes of a bind. */
export const ALL_ATTRIBUTES = Object.values(MOUNT_ATTR).reduce((all: number, one) => all | one, ATIME)

/** MS_* of a FUSE session that is mounted without a flag, as libfuse mounts (lib/mount.c). */
export const SESSION_FLAGS = MS.NOSUID | MS.NODEV

/** A flag of mount(2) with the options that set and clear it. */
interface FlagRow {
  /** MS_* */
  readonly flag: number
  /** MOUNT_ATTR_* if each mount has the flag for itself; undefined if it belongs to the super block (mount_setattr(2)). */
  readonly attribute?: number
  /** The option that sets it, and the one that clears it, by the names of mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS". */
  readonly set: string
  readonly clear?: string
  /** Other options that `set` contradicts. */
  readonly others?: readonly string[]
}

const FLAGS: readonly FlagRow[] = [
  { set: 'ro', clear: 'rw', flag: MS.RDONLY, attribute: MOUNT_ATTR.RDONLY },
  { set: 'nosuid', clear: 'suid', flag: MS.NOSUID, attribute: MOUNT_ATTR.NOSUID },
  { set: 'nodev', clear: 'dev', flag: MS.NODEV, attribute: MOUNT_ATTR.NODEV },
  { set: 'noexec', clear: 'exec', flag: MS.NOEXEC, attribute: MOUNT_ATTR.NOEXEC },
  { set: 'noatime', clear: 'atime', flag: MS.NOATIME, attribute: MOUNT_ATTR.NOATIME, others: ['relatime', 'strictatime'] },
  {
    ...{ set: 'strictatime', clear: 'nostrictatime', flag: MS.STRICTATIME, attribute: MOUNT_ATTR.STRICTATIME },
    others: ['noatime', 'relatime'],
  },
  { set: 'nodiratime', clear: 'diratime', flag: MS.NODIRATIME, attribute: MOUNT_ATTR.NODIRATIME },
  { set: 'nosymfollow', clear: 'symfollow', flag: MS.NOSYMFOLLOW, attribute: MOUNT_ATTR.NOSYMFOLLOW },
  { set: 'relatime', clear: 'norelatime', flag: MS.RELATIME, attribute: MOUNT_ATTR.RELATIME, others: ['noatime', 'strictatime'] },
  { set: 'sync', clear: 'async', flag: MS.SYNCHRONOUS },
  { set: 'dirsync', flag: MS.DIRSYNC },
  { set: 'lazytime', clear: 'nolazytime', flag: MS.LAZYTIME },
]

/** The rows of flags that each mount has for itself. */
const ATTRIBUTES = FLAGS.flatMap(({ attribute, flag, set }) => (attribute === undefined ? [] : [{ attribute, flag, option: set }]))

/** What a mount option does to a flag of mount(2). */
interface FlagOption {
  /** MS_* */
  readonly flag: number
  /** Whether the option sets the flag, or clears it. */
  readonly set: boolean
  /** The options that it contradicts. */
  readonly contradicts: readonly string[]
}

/** The mount options that are flags of mount(2), by name. */
export const FLAG_OPTIONS: Readonly<Record<string, FlagOption>> = Object.fromEntries(
  FLAGS.flatMap(({ flag, set, clear, others = [] }): [string, FlagOption][] =>
    clear === undefined
      ? [[set, { flag, set: true, contradicts: others }]]
      : [
          [set, { flag, set: true, contradicts: [clear, ...others] }],
          [clear, { flag, set: false, contradicts: [set] }],
        ],
  ),
)

/** `flags` (MS_*) as the options change them, the later of two that contradict each other; options that are no flags do nothing. */
export function withFlagOptions(flags: number, options: readonly string[]): number {
  return options.reduce((all, option) => {
    const found = Object.hasOwn(FLAG_OPTIONS, option) ? FLAG_OPTIONS[option] : undefined
    if (found === undefined) return all
    const cleared = found.contradicts.reduce((rest, other) => rest & ~(FLAG_OPTIONS[other]?.flag ?? 0), all & ~found.flag)
    return found.set ? cleared | found.flag : all & ~found.flag
  }, flags)
}

/** Those of `flags` (MS_*) that each mount has for itself. */
export function flagsOfAMount(flags: number): number {
  return ATTRIBUTES.reduce((all, { flag }) => all | (flags & flag), 0)
}

/** MOUNT_ATTR_* of flags of mount(2) (MS_*); those that belong to a super block are left out. */
export function attributesOfFlags(flags: number): number {
  return ATTRIBUTES.reduce((all, { attribute, flag }) => ((flags & flag) === 0 ? all : all | attribute), 0)
}

/** MOUNT_ATTR_* of the mount of a FUSE session with these options, as libfuse mounts. */
export function sessionAttributes(options: readonly string[]): number {
  return attributesOfFlags(withFlagOptions(SESSION_FLAGS, options))
}

/** The flags of mount(2) (MS_*) for MOUNT_ATTR_*, as a remount wants them. */
export function flagsOfAttributes(attributes: number): number {
  return rowsOf(attributes).reduce((all, { flag }) => all | flag, 0)
}

/** MOUNT_ATTR_* of a mount's own options as mountinfo has them, which names strictatime by naming no other. */
export function attributesOfOptions(options: readonly string[]): number {
  const named = ATTRIBUTES.reduce((all, { attribute, option }) => (options.includes(option) ? all | attribute : all), 0)
  return (named & ATIME) === 0 && !options.includes('relatime') ? named | MOUNT_ATTR.STRICTATIME : named
}

/** MOUNT_ATTR_* as options of mount(8): `rw,nosuid,nodev,relatime`. */
export function attributesText(attributes: number): string {
  const access = (attributes & MOUNT_ATTR.RDONLY) === 0 ? ['rw'] : []
  return [...access, ...rowsOf(attributes).map(({ option }) => option)].join(',')
}

/** The rows that apply to MOUNT_ATTR_*: relatime, which has no bit, where no other access time mode is set. */
function rowsOf(attributes: number): typeof ATTRIBUTES {
  return ATTRIBUTES.filter(({ attribute }) =>
    attribute === MOUNT_ATTR.RELATIME ? (attributes & ATIME) === 0 : (attributes & attribute) !== 0,
  )
}
