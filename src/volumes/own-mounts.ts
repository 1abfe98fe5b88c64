import { isFuse, type Mount } from '../os/mounts/mount-table.ts'
import type { MountCache } from './mount-cache.ts'

/** Tells the mounts of this plugin's sessions from those of others. */
export interface OwnMounts {
  /** What serves them, in messages. */
  readonly name: string
  /** Whether a file system of a type, with its subtype, may be one. */
  readonly mayBeOfType: (fsType: string) => boolean
  /** Whether a mount at a path is one, or a bind of one. */
  readonly includes: (path: string, mount: Pick<Mount, 'fsType' | 'device'>) => boolean
}

/** The type that every mount of dummy-fuse has in the mount table. */
const FS_TYPE = 'fuse.dummy-fuse'

/** The sessions of dummy-fuse and dummy-fused: no other program has mounts of their type. */
export const DUMMY_FUSE_MOUNTS: OwnMounts = {
  name: 'dummy-fuse',
  mayBeOfType: (fsType) => fsType === FS_TYPE,
  includes: (_path, { fsType }) => fsType === FS_TYPE,
}

/** What a host has recorded of its sessions. */
interface RecordedSessions {
  includes(path: string, mount: Pick<Mount, 'fsType' | 'device'>): boolean
}

/**
 * The sessions of a program (serve --program). Their type says nothing, so their super blocks are recorded: that of each session by its host, and those that a target
 * was bound to by the mount cache.
 */
export class RecordedMounts implements OwnMounts {
  readonly name: string
  readonly mayBeOfType = isFuse
  readonly #sessions: RecordedSessions
  readonly #cache: Pick<MountCache, 'publishedAt'>
  readonly #bootId: string

  constructor(name: string, sessions: RecordedSessions, cache: Pick<MountCache, 'publishedAt'>, bootId: string) {
    this.name = name
    this.#sessions = sessions
    this.#cache = cache
    this.#bootId = bootId
  }

  readonly includes = (path: string, mount: Pick<Mount, 'fsType' | 'device'>): boolean => {
    if (!isFuse(mount.fsType)) return false
    if (this.#sessions.includes(path, mount)) return true
    const target = this.#cache.publishedAt(path)
    if (target?.bootId !== this.#bootId) return false
    return target.device === mount.device || (target.replaced?.includes(mount.device) ?? false)
  }
}

/** The mounts of both, for a program that shows the volumes of either. */
export function either(one: OwnMounts, other: OwnMounts): OwnMounts {
  return {
    name: one.name,
    mayBeOfType: (fsType) => one.mayBeOfType(fsType) || other.mayBeOfType(fsType),
    includes: (path, mount) => one.includes(path, mount) || other.includes(path, mount),
  }
}
