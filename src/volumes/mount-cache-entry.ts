import * as v from 'valibot'
import { parseJson } from '../schema.ts'

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

export type MountCacheEntry = StagedEntry | PublishedEntry

/** The path of an entry's mount. */
export function pathOf(entry: MountCacheEntry): string {
  return entry.kind === 'staged' ? entry.stagingPath : entry.targetPath
}

/** A text that is not empty. */
const TEXT = v.pipe(v.string(), v.nonEmpty('is empty'))

/** An absolute path in its shortest form, other than the root: no empty name, no `.`, no `..`. */
const PATH = v.pipe(v.string(), v.regex(/^(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+$/, 'is not an absolute path in its shortest form'))

const CAPABILITY = v.object({ accessMode: TEXT, fsType: v.string(), mountFlags: v.array(v.string()) })

const COMMON = { version: v.literal(1), bootId: TEXT, volumeId: TEXT, stagingPath: PATH, capability: CAPABILITY }

const ENTRIES = {
  staged: v.object({ ...COMMON, kind: v.literal('staged'), madeDirectory: v.boolean() }),
  published: v.object({ ...COMMON, kind: v.literal('published'), targetPath: PATH, readonly: v.boolean() }),
} as const

/** Reads an entry out of a file's text. Throws an Error that says what is wrong with it. */
export function parseEntry(text: string, kind: MountCacheEntry['kind']): MountCacheEntry {
  return parseJson(ENTRIES[kind], text)
}

/** Whether two capabilities ask for the same mount. */
export function sameCapability(a: MountCapability, b: MountCapability): boolean {
  return a.accessMode === b.accessMode && a.fsType === b.fsType && flagsOf(a) === flagsOf(b)
}

function flagsOf({ mountFlags }: MountCapability): string {
  return JSON.stringify([...mountFlags].sort())
}
