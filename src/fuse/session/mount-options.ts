import { UsageError } from '../../errors.ts'
import type { MountArguments } from '../../os/detached-mount.ts'
import { MS } from '../../os/libc.ts'
import { INIT, FOPEN } from '../protocol/constants.ts'

/** How a session answers, of its mount options. Times are seconds. */
export interface SessionSettings {
  readonly entryTimeout: number
  readonly attrTimeout: number
  readonly negativeTimeout: number
  /** FOPEN_* that every open file gets. */
  readonly openFlags: number
  /** Permission bits that are taken away from every node; undefined leaves each its own. */
  readonly umask: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  /** Only root and who mounted may do anything, although the kernel lets all pass. */
  readonly rootAlone: boolean
  /** INIT_* that are to be negotiated beyond those that every session wants. */
  readonly initFlags: bigint
  /** Bytes; undefined leaves the kernel its own. */
  readonly maxReadahead: number | undefined
  readonly maxBackground: number | undefined
  readonly congestionThreshold: number | undefined
  /** Whether each request is printed. */
  readonly debug: boolean
}

/** Flags of mount(2), include/uapi/linux/mount.h; `false` takes one away. */
const FLAGS: Readonly<Record<string, readonly [flag: number, set: boolean]>> = {
  ro: [MS.RDONLY, true],
  rw: [MS.RDONLY, false],
  nosuid: [MS.NOSUID, true],
  suid: [MS.NOSUID, false],
  nodev: [MS.NODEV, true],
  dev: [MS.NODEV, false],
  noexec: [MS.NOEXEC, true],
  exec: [MS.NOEXEC, false],
  sync: [MS.SYNCHRONOUS, true],
  async: [MS.SYNCHRONOUS, false],
  dirsync: [MS.DIRSYNC, true],
  noatime: [MS.NOATIME, true],
  atime: [MS.NOATIME, false],
}

/** What one reader of the options fills in. */
interface Parsed {
  readonly flags: number
  readonly values: ReadonlyMap<string, string>
}

/**
 * What of the mount options the kernel is given, all but `fd=N` (fs/fuse/inode.c, fuse_fs_parameters). `options` are checked, the later of two wins.
 * Throws UsageError for two that exclude each other.
 */
export function mountArguments(options: readonly string[]): MountArguments {
  const { flags, values } = read(options)
  if (values.has('allow_other') && values.has('allow_root'))
    throw new UsageError("mount options 'allow_other' and 'allow_root' exclude each other; give one of them")
  const data = ['rootmode=40000', 'user_id=0', 'group_id=0']
  if (values.has('default_permissions')) data.push('default_permissions')
  if (values.has('allow_other') || values.has('allow_root')) data.push('allow_other')
  const maxRead = values.get('max_read')
  if (maxRead !== undefined) data.push(`max_read=${maxRead}`)
  const subtype = values.get('subtype')
  return {
    source: unescape(values.get('fsname') ?? subtype ?? 'fuse'),
    type: subtype === undefined ? 'fuse' : `fuse.${unescape(subtype)}`,
    flags,
    data: data.join(','),
  }
}

/** What of the mount options the session itself obeys, as libfuse does. `options` are checked, the later of two wins. */
export function sessionSettings(options: readonly string[]): SessionSettings {
  const { values } = read(options)
  const number = (name: string): number | undefined => {
    const text = values.get(name)
    return text === undefined ? undefined : Number(text)
  }
  const octal = values.get('umask')
  const cached = values.has('kernel_cache') || values.has('auto_cache')
  return {
    entryTimeout: number('entry_timeout') ?? 1,
    attrTimeout: number('attr_timeout') ?? 1,
    negativeTimeout: number('negative_timeout') ?? 0,
    openFlags: (cached ? FOPEN.KEEP_CACHE : 0) | (values.has('direct_io') ? FOPEN.DIRECT_IO : 0),
    umask: octal === undefined ? undefined : parseInt(octal, 8),
    uid: number('uid'),
    gid: number('gid'),
    rootAlone: values.has('allow_root'),
    initFlags: values.has('sync_read') ? 0n : INIT.ASYNC_READ,
    maxReadahead: number('max_readahead'),
    maxBackground: number('max_background'),
    congestionThreshold: number('congestion_threshold'),
    debug: values.has('debug'),
  }
}

function read(options: readonly string[]): Parsed {
  let flags: number = MS.NOSUID | MS.NODEV
  const values = new Map<string, string>()
  for (const option of options) {
    const [name = '', ...rest] = option.split('=')
    const flag = FLAGS[name]
    if (flag === undefined) values.set(name, rest.join('='))
    else flags = flag[1] ? flags | flag[0] : flags & ~flag[0]
    if (name === 'sync_read') values.delete('async_read')
    if (name === 'auto_cache') values.delete('noauto_cache')
    if (name === 'noauto_cache') values.delete('auto_cache')
    if (name === 'async_read') values.delete('sync_read')
  }
  return { flags, values }
}

/** A comma inside a value is written `\,`. */
function unescape(value: string): string {
  return value.replace(/\\(.)/g, '$1')
}
