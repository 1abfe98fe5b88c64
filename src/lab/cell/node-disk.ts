import { openSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { codeOf } from '../../errors.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { O_PATH } from '../../os/mounts/pinned-paths.ts'
import { PROBE } from '../consumer/probe.ts'
import { FuseMounts } from '../fuse-mounts.ts'
import type { Leftovers } from '../matrix/lab-record.ts'
import { isInVolume, KUBELET } from '../node-paths.ts'
import type { WrittenFiles } from '../own-root.ts'
import { runShell } from '../shell.ts'

/** Names of one folder that are told. */
const MOST_NAMES = 20

/** Where the kubelet has volumes. */
const VOLUMES = ['pods', 'plugins/kubernetes.io']

/**
 * Whether a file below the kubelet's folder lies where the data of a volume belongs: at a target or a staging path, below one of `mounted`, or wherever a
 * consumer has made it. What a driver keeps beside them, as a kubelet keeps vol_data.json, is its own.
 */
export function isAtVolume(path: string, mounted: Iterable<string>): boolean {
  return isInVolume(path) || basename(path) === PROBE || isBelow(path, [...mounted])
}

/**
 * The node's own disk, seen past whatever is mounted on it. The kubelet's folder is reached by a bind of its own that nothing is mounted in, and the
 * folders elsewhere in which a driver has mounted FUSE by the layers of the node. Made before anything runs on the node.
 */
export class NodeDisk {
  readonly #written: WrittenFiles | undefined
  readonly #fuse = new FuseMounts()
  /** Where a driver was seen to have mounted FUSE. */
  readonly #mounted = new Set<string>()
  #kubelet: Promise<number> | undefined

  /** `written`: of a node with a root of its own. */
  constructor(written: WrittenFiles | undefined) {
    this.#written = written
  }

  /** Takes hold of the kubelet's folder. Rejects with an Error that says why that is not possible. */
  async open(): Promise<void> {
    await this.#open()
  }

  /**
   * The files that lie where volumes belong: any of those below the kubelet's folder; elsewhere those that a consumer has written where a FUSE mount was when
   * this was called, now or before, or below that. Rejects as `open` does.
   */
  async files(): Promise<readonly string[]> {
    const root = `/proc/self/fd/${await this.#open()}`
    for (const path of this.#fuse.paths()) this.#mounted.add(path)
    const below = VOLUMES.flatMap((folder) => filesBelow(root, folder)).filter((path) => isAtVolume(path, this.#mounted))
    const elsewhere = [...this.#mounted].filter((path) => !path.startsWith(`${KUBELET}/`))
    return [...below, ...probesBelow(elsewhere, this.#written?.paths() ?? [])]
  }

  /** Those of some folders of the kubelet's that exist, with names of what is in them on the node's own disk. Rejects as `open` does. */
  async folders(paths: readonly string[]): Promise<Leftovers['folders']> {
    const root = `/proc/self/fd/${await this.#open()}`
    return paths.flatMap((path) => {
      try {
        return [{ path, names: readdirSync(join(root, path.slice(KUBELET.length))).slice(0, MOST_NAMES) }]
      } catch (error) {
        if (codeOf(error) === undefined) throw error
        return []
      }
    })
  }

  #open(): Promise<number> {
    this.#kubelet ??= openKubelet()
    return this.#kubelet
  }
}

/** Those of `paths` that a consumer has made in one of these folders or below it: the target of a volume may be a bind of a folder in a FUSE mount. */
export function probesBelow(folders: readonly string[], paths: readonly string[]): readonly string[] {
  return paths.filter((path) => basename(path) === PROBE && isBelow(path, folders))
}

function isBelow(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path.startsWith(`${folder}/`))
}

/** A descriptor of the kubelet's folder as it is without the mounts in it. The bind has no path any more. */
async function openKubelet(): Promise<number> {
  const at = join(KUBELET, 'tmp/beneath')
  makeDirectories(at)
  const { status, output } = await runShell([], `mount -n --bind ${KUBELET} ${at} && mount -n --make-private ${at}`)
  if (status !== 0) throw new Error(`the disk of the node cannot be looked at: ${output}`)
  try {
    return openSync(at, O_PATH)
  } finally {
    await runShell([], `umount -n -l ${at}`)
  }
}

function filesBelow(root: string, folder: string): readonly string[] {
  try {
    return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(KUBELET, entry.parentPath.slice(root.length), entry.name))
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return []
  }
}
