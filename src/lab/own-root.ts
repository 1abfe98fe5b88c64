import { lstatSync, readdirSync, readFileSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../errors.ts'
import { PROBE } from './consumer/probe.ts'
import type { Libc } from '../os/libc.ts'
import type { Written } from './matrix/lab-record.ts'
import { KUBELET, MARK } from './node-paths.ts'

/** Where the layers of a node are. Every procfs has this folder, and that of the node is its own: the mount hides nothing of the machine. */
export const PLACE = '/proc/fs'

/** The most entries that are listed of one node. */
const MOST = 1000

/** A folder of the machine that was copied into a layer has this attribute, and a new one has not (fs/overlayfs, ovl_set_origin_fh). */
const ORIGIN = 'trusted.overlay.origin'

/**
 * A shell function: `lay_root` makes a root at `root` in {@link PLACE} of the new mount namespace. It is an overlay of the machine's, as is each further file system of the
 * machine. What is written goes into layers on a tmpfs, and ends with the namespace. A file system that may hang, or of which the kernel makes no overlay, is there
 * read-only. The folders that its words name are those of the machine.
 *
 * A unix socket of the machine can be seen in an overlay, and nobody listens on it there.
 */
export const LAY_ROOT = `
lay() {
  layer=${PLACE}/layers/$1
  mkdir "$layer" "$layer/upper" "$layer/work"
  printf %s "$2" >"$layer/path"
  cd "$2" && chown --reference=. "$layer/upper" && chmod --reference=. "$layer/upper" &&
    mount -n -c -t overlay -o "lowerdir=.,upperdir=$layer/upper,workdir=$layer/work" ${MARK} "${PLACE}/root$2" ||
    { rm -r "$layer"; return 1; }
}
show() {
  mount -n -c --bind "$1" "${PLACE}/root$1" && mount -n -c -o remount,bind,ro "${PLACE}/root$1"
}
lay_root() {
  mount -n -t tmpfs -o mode=700 ${MARK} ${PLACE}
  mkdir ${PLACE}/root ${PLACE}/layers
  if ! lay 0 /; then
    echo 'a node for a driver needs an overlay of /, which this kernel does not make; load its module (modprobe overlay)' >&2
    exit 1
  fi
  for at; do mount -n -c --rbind "$at" "${PLACE}/root$at"; done
  declare -A types
  while read -r at type; do
    printf -v at %b "$at"
    types[$at]=$type
  done < <(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .* - \\([^ ]*\\) .*/\\1 \\2/p' /proc/self/mountinfo)
  number=0
  while IFS= read -r -d '' at; do
    number=$((number + 1))
    case $at in
      /dev/shm) ;;
      / | /proc | /proc/* | /dev | /dev/* | /sys | /sys/* | ${KUBELET} | ${KUBELET}/*) continue ;;
    esac
    case \${types[$at]} in
      autofs) ;;
      cgroup* | proc | sysfs | dev* | mqueue | hugetlbfs | rpc_pipefs) mount -n -c --bind "$at" "${PLACE}/root$at" || true ;;
      fuse* | nfs* | cifs | smb3 | ceph | 9p | afs | lustre) show "$at" || true ;;
      *) lay "$number" "$at" || show "$at" || true ;;
    esac 2>/dev/null
  done < <(printf '%s\\0' "\${!types[@]}" | LC_ALL=C sort -z)
}
`

/** Makes the folder of the kubelet, which may be a link on the machine. */
export const MAKE_KUBELET = `
if [ -L ${KUBELET} ]; then rm ${KUBELET}; fi
mkdir -p ${KUBELET}
`

/** Gives the new mount namespace such a root, with /dev and /sys of the machine. */
export const OWN_ROOT = `${LAY_ROOT}
set -e
lay_root /dev /sys
mount -n --bind /proc ${PLACE}/root/proc
mount -n --bind ${PLACE} ${PLACE}/root${PLACE}
cd ${PLACE}/root
pivot_root . .
umount -n -c -l .
cd /
${MAKE_KUBELET}
set +e
`

/** A shell function: `lay_bare NAME FOLDER` counts all that is in a folder as written, on a file system that a node has to itself. */
export const LAY_BARE = `
lay_bare() {
  layer=${PLACE}/layers/$1
  mkdir "$layer" "$layer/upper"
  printf %s "$2" >"$layer/path"
  mount -n -c --bind "$2" "$layer/upper"
}
`

/** What was written on a node with a root of its own, outside of the kubelet's folder. Made before anything runs on the node. */
export class WrittenFiles {
  readonly #libc: Libc
  readonly #ofOthers: readonly string[]
  #earlier: ReadonlyMap<string, string>

  /** `ofOthers`: folders in which others write, such as the systemd of the node. */
  constructor(libc: Libc, ofOthers: readonly string[] = []) {
    this.#libc = libc
    this.#ofOthers = ofOthers
    this.#earlier = this.#identities()
  }

  /** Has what is written by now left out of the list, as long as it stays as it is. */
  begin(): void {
    this.#earlier = this.#identities()
  }

  /** The paths of all that was written. */
  paths(): readonly string[] {
    return this.#all([]).map(({ written }) => written.path)
  }

  /**
   * What was written since, in the order of the paths, and how much more there is than is listed. What a consumer of the lab has written is left out, and the path
   * `except`. The files themselves are not read.
   */
  since(except: string): { readonly written: readonly Written[]; readonly writtenMore: number } {
    const isOfDriver = ({ written: { path }, identity }: Entry): boolean => path !== except && this.#earlier.get(path) !== identity
    const written = this.#all([PROBE])
      .filter(isOfDriver)
      .map((one) => one.written)
      .sort((a, b) => (a.path < b.path ? -1 : 1))
    return { written: written.slice(0, MOST), writtenMore: Math.max(0, written.length - MOST) }
  }

  #identities(): ReadonlyMap<string, string> {
    return new Map(this.#all([]).map(({ written, identity }) => [written.path, identity]))
  }

  /** `without`: names that count as if they were not there. */
  #all(without: readonly string[]): readonly Entry[] {
    const layers = join(PLACE, 'layers')
    return namesIn(layers).flatMap((name) => {
      const layer = join(layers, name)
      return this.#below(join(layer, 'upper'), readFileSync(join(layer, 'path'), 'utf8'), without)
    })
  }

  /** What is in the folder `folder` of a layer, which the node has at `path`. */
  #below(folder: string, path: string, without: readonly string[]): readonly Entry[] {
    const names = namesIn(folder).filter((name) => !without.includes(name))
    return names.flatMap((name) => {
      const [at, shown] = [join(folder, name), join(path, name)]
      if (this.#ofOthers.includes(shown)) return []
      const stats = lstatSync(at, { throwIfNoEntry: false })
      if (stats === undefined) return []
      if (!stats.isDirectory()) return [entry(shown, stats)]
      const within = this.#below(at, shown, without)
      return within.length > 0 || !this.#isNew(at) ? within : [entry(shown, stats)]
    })
  }

  /** Whether a folder was made, and is no copy of a folder of the machine. */
  #isNew(folder: string): boolean {
    return Number(this.#libc.foreign('long getxattr(str, str, void *, ulong)')(folder, ORIGIN, null, 0)) < 0
  }
}

interface Entry {
  readonly written: Written
  /** Of the same file with the same content. */
  readonly identity: string
}

function entry(path: string, stats: Stats): Entry {
  const kind = kindOf(stats)
  const { ino, mtimeMs, size } = stats
  return { written: { path, kind, ...(kind === 'file' ? { size } : {}) }, identity: [kind, ino, mtimeMs, size].join(' ') }
}

/** A character device 0:0 stands for what was deleted (Documentation/filesystems/overlayfs.rst, "whiteouts"). */
function kindOf(stats: Stats): Written['kind'] {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'folder'
  if (stats.isSymbolicLink()) return 'link'
  if (stats.isSocket()) return 'socket'
  if (stats.isFIFO()) return 'pipe'
  return stats.isCharacterDevice() && stats.rdev === 0 ? 'deleted' : 'device'
}

/** None of a folder that is gone meanwhile. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    return []
  }
}
