import { posix } from 'node:path'
import { UsageError } from '../errors.ts'
import {
  type VolumeCapability,
  VolumeCapability_AccessMode_Mode as Mode,
  VolumeCapability_AccessMode_ModeSchema as ModeSchema,
} from '../rpc/csi_pb.ts'
import type { MountCapability } from '../volumes/mount-cache-entry.ts'
import { VolumeError } from '../volumes/errors.ts'

/** Bytes that a string field may have where the CSI spec names no other size (spec, "Size Limits"). */
const FIELD_LIMIT = 128

/** Bytes of a path, with its NUL (include/uapi/linux/limits.h). */
const PATH_MAX = 4096

/** Bytes of one name in a path (include/uapi/linux/limits.h). */
const NAME_MAX = 255

/** The values of fs_type that are accepted; empty means the default. */
const FS_TYPES = new Set(['', 'fuse', 'fuse.dummy-fuse', 'dummy-fuse'])

/** A volume's id or name. Throws VolumeError `invalid`. */
export function requireId(value: string, field: string): string {
  if (value === '') throw new VolumeError('invalid', `${field} is missing`)
  if (Buffer.byteLength(value) > FIELD_LIMIT) {
    throw new VolumeError('invalid', `${field} has ${Buffer.byteLength(value)} bytes; the CSI spec allows ${FIELD_LIMIT}`)
  }
  if (value.includes('\0')) throw new VolumeError('invalid', `${field} holds a NUL byte`)
  return value
}

/** An absolute path in its shortest form, so that one directory has one name. Throws VolumeError `invalid`. */
export function requirePath(value: string, field: string): string {
  if (value === '') throw new VolumeError('invalid', `${field} is missing`)
  if (!value.startsWith('/')) throw new VolumeError('invalid', `${field} '${value}' is not an absolute path`)
  if (value.includes('\0')) throw new VolumeError('invalid', `${field} holds a NUL byte`)
  if (Buffer.byteLength(value) >= PATH_MAX) throw new VolumeError('invalid', `${field} is longer than ${PATH_MAX - 1} bytes`)
  if (value.split('/').some((name) => Buffer.byteLength(name) > NAME_MAX))
    throw new VolumeError('invalid', `${field} holds a name longer than ${NAME_MAX} bytes`)
  const path = posix.normalize(value).replace(/(?<=.)\/+$/, '')
  if (path === '/') throw new VolumeError('invalid', `${field} is the root directory; name a directory below it`)
  return path
}

/** The rules of fuse/mount-option-rules.ts. Each throws UsageError that names an option which is not supported. */
export interface MountOptionChecks {
  /** Returns the mount flags of a capability that have an effect: checkMountFlags(). */
  readonly flags: (flags: readonly string[]) => readonly string[]
  /** Returns the options of a text that a pod may set: podMountOptions(). */
  readonly ofPod: (text: string) => readonly string[]
  /** Whether a name is that of an option that has an effect: isMountOption(). */
  readonly isOption: (name: string) => boolean
}

/**
 * The access mode and mount flags of a capability. Throws VolumeError: `invalid` if it is missing or malformed, `precondition` if these volumes do
 * not support it.
 */
export function requireCapability(capability: VolumeCapability | undefined, checks: MountOptionChecks): MountCapability {
  if (capability === undefined) throw new VolumeError('invalid', 'volume_capability is missing')
  const refusal = unsupported(capability)
  if (refusal !== undefined) throw new VolumeError('precondition', refusal)
  const { accessType, accessMode } = capability
  if (accessType.case !== 'mount') throw new VolumeError('invalid', 'volume_capability names neither mount nor block; name mount')
  const mode = accessMode?.mode ?? Mode.UNKNOWN
  if (mode === Mode.UNKNOWN) throw new VolumeError('invalid', 'volume_capability.access_mode is missing')
  const { fsType, mountFlags } = accessType.value
  return onOneNode({ accessMode: modeName(mode), fsType, mountFlags: validFlags(mountFlags, checks) })
}

/** Throws VolumeError `precondition` for a volume that can be written to and whose nodes would each have contents of their own. */
function onOneNode(capability: MountCapability): MountCapability {
  const { accessMode, mountFlags } = capability
  if (mountFlags.includes('writable') && /^MULTI_NODE_.*_WRITER$/.test(accessMode))
    throw new VolumeError(
      'precondition',
      `mount flag writable keeps the contents in the memory of one node, and ${accessMode} is for several; use SINGLE_NODE_WRITER`,
    )
  return capability
}

/** A capability with the mount options of a pod in it; those of the capability, which are an administrator's, count more. Throws VolumeError `invalid`. */
export function withPodOptions(capability: MountCapability, text: string, checks: MountOptionChecks): MountCapability {
  if (text === '') return capability
  try {
    return onOneNode({ ...capability, mountFlags: checks.flags([...checks.ofPod(text), ...capability.mountFlags]) })
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    throw new VolumeError('invalid', `volume attribute mountOptions: ${error.message}`, { cause: error })
  }
}

/** Why these volumes do not support a capability, as a message; undefined if they do. */
export function unsupported({ accessType, accessMode }: VolumeCapability): string | undefined {
  if (accessType.case === 'block')
    return 'block volumes are not supported: a FUSE file system can only be mounted; use access type mount'
  if (accessType.case === 'mount' && !FS_TYPES.has(accessType.value.fsType)) {
    return `file system type '${accessType.value.fsType}' is not supported; leave fs_type empty or name fuse.dummy-fuse`
  }
  const mode = accessMode?.mode ?? Mode.UNKNOWN
  return mode !== Mode.UNKNOWN && modeName(mode) === ''
    ? `access mode ${mode} is unknown to this plugin; use one that the CSI spec has`
    : undefined
}

function validFlags(flags: readonly string[], checks: MountOptionChecks): readonly string[] {
  try {
    return checks.flags(flags)
  } catch (error) {
    if (error instanceof UsageError) throw new VolumeError('invalid', `mount_flags: ${error.message}`, { cause: error })
    throw error
  }
}

function modeName(mode: Mode): string {
  return ModeSchema.value[mode]?.name ?? ''
}
