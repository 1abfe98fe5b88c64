import { isDeepStrictEqual } from 'node:util'
import * as v from 'valibot'
import { parseJson } from '../schema.ts'

/** The parts of a volume's capability that make a difference to how it is mounted. */
export interface MountCapability {
  /** CSI's access mode by name: `SINGLE_NODE_WRITER`. */
  readonly accessMode: string
  readonly fsType: string
  readonly mountFlags: readonly string[]
}

/** A pod that a volume is published for, as the kubelet names it (podInfoOnMount of the CSIDriver). */
export interface ConsumerPod {
  readonly namespace: string
  readonly name: string
  /** Empty if the kubelet did not name it. */
  readonly uid: string
}

/** A volume that was staged: what it takes to mount it again. Holds no secret and no token. */
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
  /** An inline ephemeral volume: it was staged by NodePublishVolume, and ends when it is unpublished. */
  readonly ephemeral?: true
  /** The name of the program that serves it (serve --program); absent for a daemon of ours. */
  readonly program?: string
  /** What the program mounts it from; present with a program. */
  readonly parameters?: Readonly<Record<string, string>>
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
  readonly ephemeral?: true
  readonly pod?: ConsumerPod
  /** `major:minor` of the session that was last bound to the target. An entry of an earlier version has none. */
  readonly device?: string
  /**
   * `major:minor` of the sessions that were bound to the target earlier in this boot and since it was published: a consumer that has run since then may still
   * have one of them. Absent if there is none.
   */
  readonly replaced?: readonly string[]
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

/** A super block. */
const DEVICE = v.pipe(v.string(), v.regex(/^\d{1,10}:\d{1,10}$/, 'is not the number of a device, such as 0:41'))

const CAPABILITY = v.object({ accessMode: TEXT, fsType: v.string(), mountFlags: v.array(v.string()) })

const POD = v.object({ namespace: TEXT, name: TEXT, uid: v.string() })

const COMMON = {
  version: v.literal(1),
  bootId: TEXT,
  volumeId: TEXT,
  stagingPath: PATH,
  capability: CAPABILITY,
  ephemeral: v.exactOptional(v.literal(true)),
}

const ENTRIES = {
  staged: v.object({
    ...COMMON,
    kind: v.literal('staged'),
    madeDirectory: v.boolean(),
    program: v.exactOptional(TEXT),
    parameters: v.exactOptional(v.record(v.string(), v.string())),
  }),
  published: v.object({
    ...COMMON,
    kind: v.literal('published'),
    targetPath: PATH,
    readonly: v.boolean(),
    pod: v.exactOptional(POD),
    device: v.exactOptional(DEVICE),
    replaced: v.exactOptional(v.array(DEVICE)),
  }),
} as const

/** Reads an entry out of a file's text. Throws an Error that says what is wrong with it. */
export function parseEntry(text: string, kind: MountCacheEntry['kind']): MountCacheEntry {
  return parseJson(ENTRIES[kind], text)
}

/** Sessions that an entry remembers; the oldest is forgotten first. */
const MOST_REPLACED = 32

/**
 * An entry's account of its sessions once `device` is bound to its target: in `replaced` are those that were there before in the same boot, of which `found` (what
 * was bound there a moment ago) is one. A number that `device` has again belongs to no earlier session any more.
 */
export function bound(
  { bootId, device: last, replaced = [] }: Pick<PublishedEntry, 'bootId' | 'device' | 'replaced'>,
  now: { readonly bootId: string; readonly device: string; readonly found: string | undefined },
): Pick<PublishedEntry, 'device' | 'replaced'> {
  // No consumer outlives a reboot.
  const before = bootId === now.bootId ? [...replaced, last, now.found] : []
  const others = new Set(before.filter((device) => device !== undefined))
  others.delete(now.device)
  const kept = [...others].slice(-MOST_REPLACED)
  return { device: now.device, ...(kept.length === 0 ? {} : { replaced: kept }) }
}

/** Whether two capabilities ask for the same mount. */
export function sameCapability(a: MountCapability, b: MountCapability): boolean {
  return a.accessMode === b.accessMode && a.fsType === b.fsType && flagsOf(a) === flagsOf(b)
}

/** Whether a volume has the same parameters; undefined are none. */
export function sameParameters(
  a: Readonly<Record<string, string>> | undefined,
  b: Readonly<Record<string, string>> | undefined,
): boolean {
  return isDeepStrictEqual(a ?? {}, b ?? {})
}

function flagsOf({ mountFlags }: MountCapability): string {
  return JSON.stringify([...mountFlags].sort())
}
