import { type MountCacheEntry, pathOf } from './mount-cache-entry.ts'
import type { MountCache } from './mount-cache.ts'

/** The kernel's own file trees, in which no directory can be made. */
const KERNEL_TREES = ['/proc', '/sys', '/dev']

/** What decides where volumes may be mounted. All paths are without symbolic links. */
export interface PathRules {
  /** The plugin's state folder: nothing is mounted in it, on it or above it. */
  readonly stateDir: string
  /** The folder of the staging paths of inline ephemeral volumes: no call names a place in it, on it or above it. */
  readonly ephemeralDir: string
  /** Folders of sockets and secrets: nothing is mounted on them or above them. */
  readonly ownFolders: readonly string[]
  /** If there are any, volumes are mounted below one of them. */
  readonly roots: readonly string[]
  readonly cache: MountCache
}

/** Tells where volumes may be mounted. */
export class AllowedPaths {
  readonly #rules: PathRules

  constructor(rules: PathRules) {
    this.#rules = rules
  }

  /** Why nothing is to be mounted at a path, as words for people; undefined if it may be. */
  refusal(path: string): string | undefined {
    const { stateDir, ephemeralDir, ownFolders, roots } = this.#rules
    const tree = KERNEL_TREES.find((one) => holds(one, path))
    if (tree !== undefined)
      return `${path} lies in ${tree}, a file system of the kernel, where no directory can be made (ENOENT); name another`
    if (holds(stateDir, path)) return `${path} lies in the plugin's state folder ${stateDir}; name another`
    if (holds(ephemeralDir, path)) return `${path} lies in the plugin's folder of ephemeral volumes ${ephemeralDir}; name another`
    const hidden = [stateDir, ephemeralDir, ...ownFolders, ...KERNEL_TREES].find((one) => holds(path, one))
    if (hidden !== undefined) return `a volume at ${path} would hide ${hidden}; name another`
    if (roots.length > 0 && !roots.some((root) => root !== path && holds(root, path)))
      return `${path} does not lie below an allowed root (${roots.join(', ')}); name another, or start the plugin with a further --allowed-root`
    return this.#nested(path)
  }

  #nested(path: string): string | undefined {
    const { cache } = this.#rules
    const above = ancestorsOf(path)
      .map((one): MountCacheEntry | undefined => cache.stagedAt(one) ?? cache.publishedAt(one))
      .find((entry) => entry !== undefined)
    if (above !== undefined)
      return `${path} lies inside of ${pathOf(above)}, where volume ${above.volumeId} is mounted; name another`
    const all: readonly MountCacheEntry[] = [...cache.staged(), ...cache.published()]
    const below = all.find((entry) => pathOf(entry).startsWith(`${path}/`))
    return below === undefined
      ? undefined
      : `a volume at ${path} would hide ${pathOf(below)}, where volume ${below.volumeId} is mounted; name another`
  }
}

/** Whether a path is a folder or lies below it. */
function holds(folder: string, path: string): boolean {
  return path === folder || folder === '/' || path.startsWith(`${folder}/`)
}

/** `/a/b/c`: `/a`, `/a/b`. */
function ancestorsOf(path: string): readonly string[] {
  const names = path.split('/').slice(1, -1)
  return names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`)
}
