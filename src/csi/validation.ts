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

/** What a plugin's volumes may be asked for. The functions throw UsageError that names what is not supported. */
export interface VolumeChecks {
  /** The name of the file system, which fs_type may have with and without `fuse.`. */
  readonly fsName: string
  /** Returns the mount flags of a capability that have an effect. */
  readonly flags: (flags: readonly string[]) => readonly string[]
  /** Returns the options of a text that a pod may set. */
  readonly ofPod: (text: string) => readonly string[]
  /** Whether a name is that of an option that has an effect. */
  readonly isOption: (name: string) => boolean
  /** Of volumes that a program serves; undefined for the daemons of ours, whose volumes have no parameters. */
  readonly program?: ProgramChecks
}

/** What the file of a program allows. The functions throw UsageError. */
interface ProgramChecks {
  /** Returns the parameters of a StorageClass, or the attributes of a volume, with their defaults. */
  readonly parameters: (given: Readonly<Record<string, string>>) => Readonly<Record<string, string>>
  /** The same for the attributes that a pod gives for its inline ephemeral volume. */
  readonly inlineParameters: (given: Readonly<Record<string, string>>) => Readonly<Record<string, string>>
  /** The keys of the secrets that a volume needs. */
  readonly secrets: readonly string[]
}

/**
 * The access mode and mount flags of a capability. Throws VolumeError: `invalid` if it is missing or malformed, `precondition` if these volumes do
 * not support it.
 */
export function requireCapability(capability: VolumeCapability | undefined, checks: VolumeChecks): MountCapability {
  if (capability === undefined) throw new VolumeError('invalid', 'volume_capability is missing')
  const refusal = unsupported(capability, checks)
  if (refusal !== undefined) throw new VolumeError('precondition', refusal)
  const { accessType, accessMode } = capability
  if (accessType.case !== 'mount') throw new VolumeError('invalid', 'volume_capability names neither mount nor block; name mount')
  const mode = accessMode?.mode ?? Mode.UNKNOWN
  if (mode === Mode.UNKNOWN) throw new VolumeError('invalid', 'volume_capability.access_mode is missing')
  const { fsType, mountFlags: given } = accessType.value
  const mountFlags = valid(
    () => checks.flags(given),
    (cause) => new VolumeError('invalid', `mount_flags: ${cause.message}`, { cause }),
  )
  return onOneNode({ accessMode: modeName(mode), fsType, mountFlags }, checks)
}

/** Throws VolumeError `precondition` for a volume that can be written to and whose nodes would each have contents of their own. */
function onOneNode(capability: MountCapability, { program }: VolumeChecks): MountCapability {
  const { accessMode, mountFlags } = capability
  if (program === undefined && mountFlags.includes('writable') && /^MULTI_NODE_.*_WRITER$/.test(accessMode))
    throw new VolumeError(
      'precondition',
      `mount flag writable keeps the contents in the memory of one node, and ${accessMode} is for several; use SINGLE_NODE_WRITER`,
    )
  return capability
}

/** A capability with the mount options of a pod in it; those of the capability, which are an administrator's, count more. Throws VolumeError `invalid`. */
export function withPodOptions(capability: MountCapability, text: string, checks: VolumeChecks): MountCapability {
  if (text === '') return capability
  const mountFlags = valid(
    () => checks.flags([...checks.ofPod(text), ...capability.mountFlags]),
    (cause) => new VolumeError('invalid', `volume attribute mountOptions: ${cause.message}`, { cause }),
  )
  return onOneNode({ ...capability, mountFlags }, checks)
}

/** Why these volumes do not support a capability, as a message; undefined if they do. */
export function unsupported({ accessType, accessMode }: VolumeCapability, { fsName }: VolumeChecks): string | undefined {
  if (accessType.case === 'block')
    return 'block volumes are not supported: a FUSE file system can only be mounted; use access type mount'
  if (accessType.case === 'mount' && !['', 'fuse', fsName, `fuse.${fsName}`].includes(accessType.value.fsType)) {
    return `file system type '${accessType.value.fsType}' is not supported; leave fs_type empty or name fuse.${fsName}`
  }
  const mode = accessMode?.mode ?? Mode.UNKNOWN
  return mode !== Mode.UNKNOWN && modeName(mode) === ''
    ? `access mode ${mode} is unknown to this plugin; use one that the CSI spec has`
    : undefined
}

/** The parameters of a volume, from the parameters of CreateVolume. Throws VolumeError `invalid`. */
export function requireParameters(
  given: Readonly<Record<string, string>>,
  { program }: VolumeChecks,
): Readonly<Record<string, string>> | undefined {
  return valid(
    () => program?.parameters(given),
    (cause) => new VolumeError('invalid', `parameters: ${cause.message}`, { cause }),
  )
}

/** What a call of the Node service says a volume is mounted from. */
export interface MountedFrom {
  readonly parameters?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
}

/**
 * The parameters and secrets of NodeStageVolume, or those of NodePublishVolume for an inline ephemeral volume: all secrets that the volume needs. NodePublishVolume of
 * another volume need not bring them. Nothing for a plugin without a program. Throws VolumeError `invalid`.
 */
export function mountedFrom(
  context: Readonly<Record<string, string>>,
  secrets: Readonly<Record<string, string>>,
  { program }: VolumeChecks,
  call: 'stage' | 'publish' | 'ephemeral',
): MountedFrom {
  if (program === undefined) return {}
  const read = call === 'ephemeral' ? program.inlineParameters : program.parameters
  const parameters = valid(
    () => read(context),
    (cause) => new VolumeError('invalid', `volume_context: ${cause.message}`, { cause }),
  )
  const missing = program.secrets.filter((name) => secrets[name] === undefined)
  if (missing.length > 0 && call !== 'publish')
    throw new VolumeError(
      'invalid',
      `secrets has no ${missing.join(', ')}; name a Secret with ${missing.length === 1 ? 'that key' : 'these keys'}`,
    )
  return missing.length > 0 ? { parameters } : { parameters, secrets }
}

/** What `read` returns. Throws what `refusal` makes of the UsageError that it throws. */
function valid<T>(read: () => T, refusal: (cause: UsageError) => VolumeError): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof UsageError ? refusal(error) : error
  }
}

function modeName(mode: Mode): string {
  return ModeSchema.value[mode]?.name ?? ''
}
