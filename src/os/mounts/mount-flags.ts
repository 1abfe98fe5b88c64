import { MS } from '../libc.ts'

/** MS_* of a FUSE session that is mounted without a flag, as libfuse mounts (lib/mount.c). */
export const SESSION_FLAGS = MS.NOSUID | MS.NODEV

/** What a mount option means to mount(2). */
interface MountFlag {
  /** MS_* */
  readonly flag: number
  /** Whether the option sets the flag, or clears it. */
  readonly set: boolean
  /** The options that it contradicts. */
  readonly contradicts: readonly string[]
}

/** The mount options that are flags of mount(2), by the names of mount(8), section "FILESYSTEM-INDEPENDENT MOUNT OPTIONS". */
export const MOUNT_FLAGS: Readonly<Record<string, MountFlag>> = {
  ...pair('ro', 'rw', MS.RDONLY),
  ...pair('nosuid', 'suid', MS.NOSUID),
  ...pair('nodev', 'dev', MS.NODEV),
  ...pair('noexec', 'exec', MS.NOEXEC),
  ...pair('nosymfollow', 'symfollow', MS.NOSYMFOLLOW),
  ...pair('sync', 'async', MS.SYNCHRONOUS),
  dirsync: { flag: MS.DIRSYNC, set: true, contradicts: [] },
  ...pair('lazytime', 'nolazytime', MS.LAZYTIME),
  ...pair('nodiratime', 'diratime', MS.NODIRATIME),
  // A mount has one of three access time modes; the default is relatime.
  ...pair('noatime', 'atime', MS.NOATIME, ['relatime', 'strictatime']),
  ...pair('relatime', 'norelatime', MS.RELATIME, ['noatime', 'strictatime']),
  ...pair('strictatime', 'nostrictatime', MS.STRICTATIME, ['noatime', 'relatime']),
}

/** Those of MS_* that each mount of a file system has for itself; the others belong to its super block (mount_setattr(2)). */
const OF_A_MOUNT =
  MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOEXEC | MS.NOSYMFOLLOW | MS.NOATIME | MS.NODIRATIME | MS.RELATIME | MS.STRICTATIME

/** `flags` (MS_*) as the options change them, the later of two that contradict each other; options that are no flags do nothing. */
export function withMountFlags(flags: number, options: readonly string[]): number {
  return options.reduce((all, option) => {
    const found = Object.hasOwn(MOUNT_FLAGS, option) ? MOUNT_FLAGS[option] : undefined
    if (found === undefined) return all
    const cleared = found.contradicts.reduce((rest, other) => rest & ~(MOUNT_FLAGS[other]?.flag ?? 0), all & ~found.flag)
    return found.set ? cleared | found.flag : all & ~found.flag
  }, flags)
}

/** Those of `flags` (MS_*) that belong to a mount, not to its super block. */
export function flagsOfAMount(flags: number): number {
  return flags & OF_A_MOUNT
}

function pair(set: string, clear: string, flag: number, others: readonly string[] = []): Readonly<Record<string, MountFlag>> {
  return {
    [set]: { flag, set: true, contradicts: [clear, ...others] },
    [clear]: { flag, set: false, contradicts: [set] },
  }
}
