import { UsageError } from '../errors.ts'

type Check = (value: string) => boolean

const seconds: Check = (value) => /^\d+(\.\d+)?$/.test(value)
const count: Check = (value) => /^\d+$/.test(value)
const id: Check = (value) => count(value) && Number(value) <= 0xffffffff
const octal: Check = (value) => /^[0-7]{1,4}$/.test(value)
const name: Check = (value) => value !== ''

/**
 * The mount options of libfuse 2.9 that make sense here, as `-o` and as a CSI mount flag: what the kernel's mount(2) takes, what its
 * FUSE takes, and what libfuse itself obeys. A check stands for a value that must follow.
 */
const OPTIONS: Readonly<Record<string, Check | null>> = {
  ...Object.fromEntries(
    ['ro', 'rw', 'suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec', 'sync', 'async', 'dirsync', 'atime', 'noatime'].map(
      (option) => [option, null],
    ),
  ),
  allow_other: null,
  allow_root: null,
  default_permissions: null,
  nonempty: null,
  fsname: name,
  subtype: name,
  max_read: count,
  max_readahead: count,
  max_background: count,
  congestion_threshold: count,
  async_read: null,
  sync_read: null,
  kernel_cache: null,
  auto_cache: null,
  noauto_cache: null,
  direct_io: null,
  entry_timeout: seconds,
  attr_timeout: seconds,
  ac_attr_timeout: seconds,
  negative_timeout: seconds,
  umask: octal,
  uid: id,
  gid: id,
  debug: null,
}

/** The commonest options of mount(8) that say nothing to a FUSE mount: taken and left out, as mount.fuse(8) does. */
const IGNORED = new Set(['defaults', 'auto', 'noauto', 'user', 'nouser', 'users', '_netdev', 'relatime', 'nofail'])

/**
 * What dummy-fuse mounts with unless told otherwise. The names are what the mount table shows. With timeouts of zero the kernel
 * asks the daemon at each lookup, stat and read at the end of a file, so that no consumer goes on living off cached answers
 * of a daemon that is gone; libfuse's own default is one second.
 */
export const DEFAULT_OPTIONS: readonly string[] = ['fsname=dummy-fuse', 'subtype=dummy-fuse', 'entry_timeout=0', 'attr_timeout=0']

/**
 * Splits and checks what follows `-o` (a comma inside a value is written `\,`).
 * Throws UsageError that names the first option that is unknown, lacks its value or has a wrong one.
 */
export function parseMountOptions(text: string): readonly string[] {
  const options = text.split(/(?<!\\),/).filter((option) => option !== '')
  return options.filter((option) => !IGNORED.has(option)).map(checkMountOption)
}

/** Checks one of a CSI capability's mount flags; empty for one that says nothing to FUSE. Throws UsageError. */
export function checkMountFlag(flag: string): readonly string[] {
  return IGNORED.has(flag) ? [] : [checkMountOption(flag)]
}

/** Checks one option and returns it. Throws UsageError. */
export function checkMountOption(option: string): string {
  const equals = option.indexOf('=')
  const key = equals < 0 ? option : option.slice(0, equals)
  const check = Object.hasOwn(OPTIONS, key) ? OPTIONS[key] : undefined
  if (key === 'auto_unmount')
    throw new UsageError("mount option 'auto_unmount' needs fusermount; the daemon unmounts by itself when it is told to end")
  if (check === undefined) throw new UsageError(`unknown mount option '${key}'; known are ${Object.keys(OPTIONS).join(', ')}`)
  if (check === null && equals >= 0) throw new UsageError(`mount option '${key}' takes no value`)
  if (check !== null && (equals < 0 || !check(option.slice(equals + 1)))) {
    throw new UsageError(`mount option '${key}' wants a value, such as ${key}=${check === name ? 'NAME' : '1'}; got '${option}'`)
  }
  return option
}
