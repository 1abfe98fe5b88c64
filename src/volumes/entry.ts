/** The parts of a volume's capability that make a difference to how it is mounted. */
export interface MountCapability {
  /** CSI's access mode by name: `SINGLE_NODE_WRITER`. */
  readonly accessMode: string
  readonly fsType: string
  readonly mountFlags: readonly string[]
}

/** A volume that was staged: what it takes to mount it again. Holds no secret, token or context. */
export interface StagedEntry {
  readonly version: 1
  readonly kind: 'staged'
  /** /proc/sys/kernel/random/boot_id of the boot in which it was mounted. */
  readonly bootId: string
  readonly volumeId: string
  readonly stagingPath: string
  readonly capability: MountCapability
  /** Whether this plugin made the directory, and removes it. */
  readonly madeDirectory: boolean
}

/** A bind of a staged volume at a target. */
export interface PublishedEntry {
  readonly version: 1
  readonly kind: 'published'
  readonly bootId: string
  readonly volumeId: string
  readonly stagingPath: string
  readonly targetPath: string
  readonly readonly: boolean
  readonly capability: MountCapability
}

/** An absolute path in its shortest form, other than the root: no empty name, no `.`, no `..`. */
const SHORTEST = /^(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+$/

export type MountCacheEntry = StagedEntry | PublishedEntry

/** The path that an entry's mount stands at. */
export function pathOf(entry: MountCacheEntry): string {
  return entry.kind === 'staged' ? entry.stagingPath : entry.targetPath
}

/** Reads an entry out of a file's text. Throws an Error that says what is wrong with it. */
export function parseEntry(text: string, kind: MountCacheEntry['kind']): MountCacheEntry {
  const value: unknown = JSON.parse(text)
  if (!isRecord(value)) throw new Error('not a JSON object')
  if (value.version !== 1) throw new Error(`version ${JSON.stringify(value.version)} is not 1`)
  if (value.kind !== kind) throw new Error(`kind ${JSON.stringify(value.kind)} is not ${kind}`)
  const common = {
    version: 1,
    bootId: textOf(value, 'bootId'),
    volumeId: textOf(value, 'volumeId'),
    stagingPath: absolute(value, 'stagingPath'),
    capability: capability(value.capability),
  } as const
  return kind === 'staged'
    ? { ...common, kind, madeDirectory: flag(value, 'madeDirectory') }
    : { ...common, kind, targetPath: absolute(value, 'targetPath'), readonly: flag(value, 'readonly') }
}

/** Whether two capabilities ask for the same mount. */
export function sameCapability(a: MountCapability, b: MountCapability): boolean {
  return a.accessMode === b.accessMode && a.fsType === b.fsType && flagsOf(a) === flagsOf(b)
}

function flagsOf({ mountFlags }: MountCapability): string {
  return JSON.stringify([...mountFlags].sort())
}

type Json = Readonly<Record<string, unknown>>

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: Json, key: string): string {
  const found = value[key]
  if (typeof found !== 'string' || found === '') throw new Error(`${key} is no text`)
  return found
}

function absolute(value: Json, key: string): string {
  const path = textOf(value, key)
  if (!SHORTEST.test(path)) throw new Error(`${key} is no absolute path in its shortest form`)
  return path
}

function flag(value: Json, key: string): boolean {
  const found = value[key]
  if (typeof found !== 'boolean') throw new Error(`${key} is neither true nor false`)
  return found
}

function capability(value: unknown): MountCapability {
  if (!isRecord(value)) throw new Error('capability is no object')
  const { fsType, mountFlags } = value
  if (typeof fsType !== 'string') throw new Error('capability.fsType is no text')
  if (!Array.isArray(mountFlags) || !mountFlags.every((flag) => typeof flag === 'string'))
    throw new Error('capability.mountFlags is no list of texts')
  return { accessMode: textOf(value, 'accessMode'), fsType, mountFlags }
}
