import { UsageError } from '../errors.ts'
import { FLAG_OPTIONS } from '../os/mounts/mount-flags.ts'

/** A value that an option must have. */
interface Value {
  readonly example: string
  /** What it is, in words. */
  readonly form: string
  readonly fits: (value: string) => boolean
}

interface Known {
  /** `null`: it has none. */
  readonly value: Value | null
  /** The options that it contradicts: of two the later counts. */
  readonly contradicts: readonly string[]
}

const U32 = 0xffffffff

/** The size of a session that can be written to, unless the option size is given. */
export const DEFAULT_SIZE = '64m'

const SIZE = /^([1-9]\d{0,9})([kmg]?)$/i

/** The bytes that a valid value of the option size means. */
export function bytesOf(text: string): number {
  const [, digits = '0', unit = ''] = SIZE.exec(text) ?? []
  return Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase())
}

/** Bytes of a text that fsconfig(2) takes (fs/fsopen.c). */
const LONGEST_TEXT = 255

/** Bytes of all mount flags of a capability together (CSI spec, VolumeCapability.MountVolume). */
const MOST_FLAGS = 4096

const time: Value = {
  example: '1',
  form: `a number of seconds from 0 to ${U32}`,
  fits: (value) => /^\d{1,10}(\.\d{1,9})?$/.test(value) && Number(value) <= U32,
}
const count = wholeNumber(U32)
/** The kernel takes the largest number for no id (include/linux/uidgid.h). */
const id = wholeNumber(U32 - 1)
const octal: Value = {
  example: '022',
  form: 'an octal number of at most four digits',
  fits: (value) => /^[0-7]{1,4}$/.test(value),
}
const size: Value = {
  example: '64m',
  form: 'a number of bytes from 4096 to 4g, with k, m or g behind it for a larger unit',
  fits: (value) => SIZE.test(value) && bytesOf(value) >= 4096 && bytesOf(value) <= U32 + 1,
}
const text: Value = {
  example: 'NAME',
  form: `a text of 1 to ${LONGEST_TEXT} bytes without NUL`,
  fits: (value) => value !== '' && !value.includes('\0') && Buffer.byteLength(unescapeValue(value)) <= LONGEST_TEXT,
}

/**
 * The mount options of libfuse that make sense here, as `-o` and as a CSI mount flag: what mount(2) takes, what the kernel's FUSE takes, and
 * what the session itself obeys.
 */
const OPTIONS: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(
    Object.entries(FLAG_OPTIONS).map(([name, { contradicts }]): [string, Known] => [name, { value: null, contradicts }]),
  ),
  allow_other: plain('allow_root'),
  allow_root: plain('allow_other'),
  default_permissions: plain(),
  nonempty: plain(),
  fsname: valued(text),
  subtype: valued(text),
  max_read: valued(count),
  max_readahead: valued(count),
  max_background: valued(count),
  congestion_threshold: valued(count),
  async_read: plain('sync_read'),
  sync_read: plain('async_read'),
  kernel_cache: plain(),
  auto_cache: plain('noauto_cache'),
  noauto_cache: plain('auto_cache'),
  direct_io: plain(),
  entry_timeout: valued(time),
  attr_timeout: valued(time),
  ac_attr_timeout: valued(time),
  negative_timeout: valued(time),
  umask: valued(octal),
  uid: valued(id),
  gid: valued(id),
  debug: plain(),
  writable: plain(),
  size: valued(size),
}

/** Whether a name is that of an option that has an effect. */
export function isMountOption(name: string): boolean {
  return Object.hasOwn(OPTIONS, name)
}

/** Options of mount(8) and /etc/fstab that are not for the file system. They are accepted and left out, as mount.fuse3(8) does. */
const IGNORED = new Set([
  'defaults',
  'auto',
  'noauto',
  'user',
  'nouser',
  'users',
  'nousers',
  'owner',
  'noowner',
  'group',
  'nogroup',
  '_netdev',
  '_rnetdev',
  'nofail',
  'silent',
  'loud',
  'nomand',
  'noiversion',
])
const IGNORED_KEYS = new Set(['comment', 'user', 'helper', 'uhelper'])

/** Options of mount(8), of the kernel or of libfuse that cannot be obeyed, and why. */
const IMPOSSIBLE: ReadonlyMap<string, string> = new Map(
  (
    [
      ['needs fusermount; the daemon unmounts by itself when it ends', ['auto_unmount']],
      ['is what the daemon itself tells the kernel; leave it out', ['fd', 'rootmode', 'user_id', 'group_id']],
      ['belongs to file systems on a block device (fuseblk); leave it out', ['blksize', 'blkdev']],
      ['is refused by the kernel, which has no mandatory locks since Linux 5.15; leave it out', ['mand']],
      ['has no effect on FUSE, which keeps no inode versions; leave it out', ['iversion']],
      ['changes a mount that is there; run mount -i -o remount,... instead, which calls no helper', ['remount']],
      ['is about a mount that is there; leave it out', ['bind', 'rbind', 'move']],
      [
        'changes the propagation of a mount that is there; run mount --make-... then',
        ['shared', 'rshared', 'slave', 'rslave', 'private', 'rprivate', 'unbindable', 'runbindable'],
      ],
      [
        'has the file system run as another user, and dummy-fuse mounts by itself, as root; leave it out',
        ['setuid', 'drop_privileges'],
      ],
    ] as const
  ).flatMap(([why, names]) => names.map((name): [string, string] => [name, why])),
)

/**
 * The default mount options. The names are those of the mount table. With timeouts of zero the kernel asks the daemon at each lookup, stat and read
 * at the end of a file, so that no consumer continues with cached answers of a dead daemon. libfuse's own default is one second.
 */
export const DEFAULT_OPTIONS: readonly string[] = ['fsname=dummy-fuse', 'subtype=dummy-fuse', 'entry_timeout=0', 'attr_timeout=0']

/**
 * Splits and checks the argument of `-o` (a comma inside a value is written `\,`), and leaves out options without a meaning for FUSE. Throws
 * UsageError that names the first option that is unknown, not supported, or without a valid value.
 */
export function parseMountOptions(words: string): readonly string[] {
  return checkMountOptions(words.split(/(?<!\\),/).filter((option) => option !== ''))
}

/** Checks options and leaves out those without a meaning for FUSE. Throws UsageError. */
export function checkMountOptions(options: readonly string[]): readonly string[] {
  for (const option of options) checkMountOption(option)
  return options.filter((option) => !isIgnored(option))
}

/**
 * Checks the mount flags of a CSI capability. Every daemon supports those that it returns; each is there once, and no two contradict each other.
 * Throws UsageError.
 */
export function checkMountFlags(flags: readonly string[]): readonly string[] {
  const size = flags.reduce((all, flag) => all + Buffer.byteLength(flag), 0)
  if (size > MOST_FLAGS) throw new UsageError(`the flags have ${size} bytes in all; the CSI spec allows ${MOST_FLAGS}`)
  for (const flag of flags) {
    // It stands in a list behind -o, where a comma would begin the next option.
    if (/[,\\\p{Cc}]/u.test(flag)) throw new UsageError(`'${flag}' holds a comma, a backslash or a control character`)
    if (keyOf(flag) === 'subtype') throw new UsageError(`'${flag}' would disguise the mount; leave it out`)
    if (flag === 'debug') throw new UsageError("'debug' is an option of the command dummy-fuse alone; leave it out")
  }
  const checked = settleMountOptions(checkMountOptions(flags))
  checkTogether(checked)
  return checked
}

/** Throws UsageError for checked options, all of one mount, one of which needs another that is missing. */
export function checkTogether(options: readonly string[]): void {
  if (options.some((option) => keyOf(option) === 'size') && !options.includes('writable'))
    throw new UsageError("mount option 'size' is the size of a file system that can be written to; add writable, or leave it out")
}

/**
 * Options that a pod may set for its own inline ephemeral volume. A pod is not trusted: an option changes what the pod sees in its own volume, and nothing
 * else. Not among them are options that give the mount another name or privileges on the node (suid, dev), and the session's share of the kernel's queues.
 */
const POD_OPTIONS: ReadonlySet<string> = new Set([
  'ro',
  'rw',
  'nosuid',
  'nodev',
  'exec',
  'noexec',
  'nosymfollow',
  'noatime',
  'relatime',
  'strictatime',
  'nodiratime',
  'allow_other',
  'default_permissions',
  'umask',
  'uid',
  'gid',
  'entry_timeout',
  'attr_timeout',
  'ac_attr_timeout',
  'negative_timeout',
  'kernel_cache',
  'direct_io',
  'writable',
  'size',
])

/** Checks the mount options that a pod gives, in the form of {@link parseMountOptions}. Throws UsageError, also for one that a pod may not set. */
export function podMountOptions(words: string): readonly string[] {
  const options = parseMountOptions(words)
  const refused = options.find((option) => !POD_OPTIONS.has(keyOf(option)))
  if (refused !== undefined)
    throw new UsageError(`a pod may not set mount option '${keyOf(refused)}'; it may set ${[...POD_OPTIONS].join(', ')}`)
  const large = options.find((option) => keyOf(option) === 'size' && bytesOf(option.slice('size='.length)) > bytesOf(DEFAULT_SIZE))
  if (large !== undefined)
    throw new UsageError(
      `a pod may set mount option 'size' to ${DEFAULT_SIZE} at most, because it takes the daemon's memory; got '${large}'`,
    )
  return settleMountOptions(options)
}

/** Leaves out what is given again, or contradicted, later. */
export function settleMountOptions(options: readonly string[]): readonly string[] {
  const settled = new Map<string, string>()
  for (const option of options) {
    const key = keyOf(option)
    for (const other of [key, ...(knownOption(key)?.contradicts ?? [])]) settled.delete(other)
    settled.set(key, option)
  }
  return [...settled.values()]
}

/** A value as it is meant: a comma inside one is written `\,`. */
export function unescapeValue(value: string): string {
  return value.replace(/\\(.)/gs, '$1')
}

/** A value as it is written in a list of options. */
export function escapeValue(value: string): string {
  return value.replace(/[\\,]/g, '\\$&')
}

function checkMountOption(option: string): void {
  if (isIgnored(option)) return
  const key = keyOf(option)
  const impossible = IMPOSSIBLE.get(key)
  if (impossible !== undefined) throw new UsageError(`mount option '${key}' ${impossible}`)
  const known = knownOption(key)
  if (known === undefined) throw new UsageError(`unknown mount option '${key}'; known are ${Object.keys(OPTIONS).join(', ')}`)
  const { value } = known
  const given = option.length > key.length ? option.slice(key.length + 1) : undefined
  if (value === null && given !== undefined) throw new UsageError(`mount option '${key}' takes no value`)
  if (value !== null && (given === undefined || !value.fits(given)))
    throw new UsageError(`mount option '${key}' needs a value, ${value.form}, such as ${key}=${value.example}; got '${option}'`)
}

function isIgnored(option: string): boolean {
  return IGNORED.has(option) || /^[xX]-/.test(option) || (option.includes('=') && IGNORED_KEYS.has(keyOf(option)))
}

function keyOf(option: string): string {
  return option.split('=', 1)[0] ?? ''
}

function knownOption(key: string): Known | undefined {
  return Object.hasOwn(OPTIONS, key) ? OPTIONS[key] : undefined
}

function plain(...contradicts: readonly string[]): Known {
  return { value: null, contradicts }
}

function valued(value: Value): Known {
  return { value, contradicts: [] }
}

/** The kernel would read a number with zeros in front as octal (lib/kstrtox.c). */
function wholeNumber(most: number): Value {
  const fits = (value: string): boolean => /^(0|[1-9]\d{0,9})$/.test(value) && Number(value) <= most
  return { example: '1', form: `a whole number from 0 to ${most} without zeros in front`, fits }
}
