import { MS } from '../libc.ts'

/** MOUNT_ATTR_*: what each mount of a file system has for itself (include/uapi/linux/mount.h). */
export const MOUNT_ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const

/** MOUNT_ATTR__ATIME: one of the ways to keep access times, of which 0 is relatime. */
export const ATIME = 0x70

/** All that a bind has for itself. */
export const ALL_ATTRIBUTES = Object.values(MOUNT_ATTR).reduce((all: number, one) => all | one, ATIME)

/** For the flags of mount(2), and the options of mountinfo, that belong to a mount. Without one of the access times it has relatime. */
const NAMES: readonly (readonly [attribute: number, flag: number, option: string])[] = [
  [MOUNT_ATTR.RDONLY, MS.RDONLY, 'ro'],
  [MOUNT_ATTR.NOSUID, MS.NOSUID, 'nosuid'],
  [MOUNT_ATTR.NODEV, MS.NODEV, 'nodev'],
  [MOUNT_ATTR.NOEXEC, MS.NOEXEC, 'noexec'],
  [MOUNT_ATTR.NOATIME, MS.NOATIME, 'noatime'],
  [MOUNT_ATTR.STRICTATIME, MS.STRICTATIME, 'strictatime'],
  [MOUNT_ATTR.NODIRATIME, MS.NODIRATIME, 'nodiratime'],
  [MOUNT_ATTR.NOSYMFOLLOW, MS.NOSYMFOLLOW, 'nosymfollow'],
]

/** MOUNT_ATTR_* of flags of mount(2) (MS_*); those that belong to a super block are left out. */
export function attributesOfFlags(flags: number): number {
  return NAMES.reduce((all, [attribute, flag]) => ((flags & flag) === 0 ? all : all | attribute), 0)
}

/** The flags of mount(2) (MS_*) for MOUNT_ATTR_*, as a remount wants them. */
export function flagsOfAttributes(attributes: number): number {
  const atime = (attributes & ATIME) === 0 ? MS.RELATIME : 0
  return NAMES.reduce((all, [attribute, flag]) => ((attributes & attribute) === 0 ? all : all | flag), atime)
}

/** MOUNT_ATTR_* of a mount's own options as mountinfo has them, which names strictatime by naming no other. */
export function attributesOfOptions(options: readonly string[]): number {
  const named = NAMES.reduce((all, [attribute, , option]) => (options.includes(option) ? all | attribute : all), 0)
  return (named & ATIME) === 0 && !options.includes('relatime') ? named | MOUNT_ATTR.STRICTATIME : named
}

/** MOUNT_ATTR_* as the words of mount(8): `rw,nosuid,nodev,relatime`. */
export function attributesText(attributes: number): string {
  const words = NAMES.filter(([attribute]) => (attributes & attribute) !== 0).map(([, , option]) => option)
  const access = (attributes & MOUNT_ATTR.RDONLY) === 0 ? ['rw'] : []
  return [...access, ...words, ...((attributes & ATIME) === 0 ? ['relatime'] : [])].join(',')
}
