import type { MountArguments } from '../../os/mounts/detached-mount.ts'
import { SESSION_FLAGS, withFlagOptions } from '../../os/mounts/mount-flags.ts'
import { bytesOf, DEFAULT_SIZE, settleMountOptions, unescapeValue } from '../mount-option-rules.ts'
import { INIT, FOPEN } from '../protocol/constants.ts'

/** A file system in memory that can be written to. */
export interface WritableSettings {
  /** Bytes of all contents. */
  readonly size: number
  /** Of the root directory and the first file. */
  readonly uid: number
  readonly gid: number
  /** Permission bits that the root directory and the first file lack. */
  readonly umask: number
}

/** How a session answers, of its mount options. Times are seconds. */
export interface SessionSettings {
  readonly entryTimeout: number
  readonly attrTimeout: number
  readonly negativeTimeout: number
  /** FOPEN_* that every open file gets. */
  readonly openFlags: number
  /** Undefined: the file system is only read. */
  readonly writable: WritableSettings | undefined
  /** Permission bits that are taken away from every node; undefined leaves each its own. */
  readonly umask: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  /** Only root and the user that mounted may access the file system, although the kernel passes requests of all users. */
  readonly allowRoot: boolean
  /** INIT_* that are to be negotiated beyond those that every session wants. */
  readonly initFlags: bigint
  /** Bytes; undefined leaves the kernel its own. */
  readonly maxReadahead: number | undefined
  readonly maxBackground: number | undefined
  readonly congestionThreshold: number | undefined
  /** Whether each request is printed. */
  readonly debug: boolean
}

/**
 * The arguments for mount(2), except `fd=N` (fs/fuse/inode.c, fuse_fs_parameters). `options` are checked, the later of two that
 * contradict each other wins.
 */
export function mountArguments(options: readonly string[]): MountArguments {
  const values = read(options)
  const data = ['rootmode=40000', 'user_id=0', 'group_id=0']
  if (checksPermissions(values)) data.push('default_permissions')
  if (values.has('allow_other') || values.has('allow_root')) data.push('allow_other')
  const maxRead = values.get('max_read')
  if (maxRead !== undefined) data.push(`max_read=${maxRead}`)
  const subtype = values.get('subtype')
  return {
    source: unescapeValue(values.get('fsname') ?? subtype ?? 'fuse'),
    type: subtype === undefined ? 'fuse' : `fuse.${unescapeValue(subtype)}`,
    flags: withFlagOptions(SESSION_FLAGS, options),
    data: data.join(','),
  }
}

/** The mount options that the session itself obeys, as libfuse does. `options` are as for {@link mountArguments}. */
export function sessionSettings(options: readonly string[]): SessionSettings {
  const values = read(options)
  const number = (name: string): number | undefined => {
    const text = values.get(name)
    return text === undefined ? undefined : Number(text)
  }
  const octal = values.get('umask')
  const umask = octal === undefined ? undefined : parseInt(octal, 8)
  const own = { umask, uid: number('uid'), gid: number('gid') }
  const writable = values.has('writable') ? writableSettings(values, own) : undefined
  const cached = values.has('kernel_cache') || values.has('auto_cache')
  return {
    entryTimeout: number('entry_timeout') ?? 1,
    attrTimeout: number('attr_timeout') ?? 1,
    negativeTimeout: number('negative_timeout') ?? 0,
    openFlags: (cached ? FOPEN.KEEP_CACHE : 0) | (values.has('direct_io') ? FOPEN.DIRECT_IO : 0),
    writable,
    // Nodes that can be changed have their own.
    ...(writable === undefined ? own : { umask: undefined, uid: undefined, gid: undefined }),
    allowRoot: values.has('allow_root'),
    initFlags: (values.has('sync_read') ? 0n : INIT.ASYNC_READ) | (mayBeIdmapped(values) ? INIT.ALLOW_IDMAP : 0n),
    maxReadahead: number('max_readahead'),
    maxBackground: number('max_background'),
    congestionThreshold: number('congestion_threshold'),
    debug: values.has('debug'),
  }
}

/** As tmpfs(5) has it, with the owner and the umask of the first nodes. */
function writableSettings(
  values: ReadonlyMap<string, string>,
  { umask = 0o022, uid = 0, gid = 0 }: Partial<Record<'umask' | 'uid' | 'gid', number | undefined>>,
): WritableSettings {
  return { size: bytesOf(values.get('size') ?? DEFAULT_SIZE), uid, gid, umask }
}

/** Whether the kernel checks permissions: always for what can be written to, whose users are told apart. */
function checksPermissions(values: ReadonlyMap<string, string>): boolean {
  return values.has('default_permissions') || values.has('writable')
}

/**
 * Whether mounts of the session may be idmapped (MOUNT_ATTR_IDMAP, Linux 6.12). The kernel wants to check permissions itself then, and no longer says which
 * user a request comes from (fs/fuse/inode.c, process_init_reply; fs/fuse/dev.c, fuse_get_req), which `allow_root` asks.
 */
function mayBeIdmapped(values: ReadonlyMap<string, string>): boolean {
  return checksPermissions(values) && !values.has('allow_root')
}

/** The options that count, by their names; empty for one without a value. */
function read(options: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    settleMountOptions(options).map((option) => {
      const [name = '', ...rest] = option.split('=')
      return [name, rest.join('=')]
    }),
  )
}
