import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../../errors.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { connectionOfDevice } from '../../os/mounts/mount-table.ts'
import { type MountinfoLine, parseMountinfo } from '../../os/mounts/mountinfo.ts'
import { processIds, sharesMounts } from '../../os/processes/processes.ts'
import { run } from '../../os/processes/run.ts'
import { type FuseDescriptor, fuseDescriptorsOf } from '../fuse-holders.ts'
import type { Leftovers } from '../matrix/lab-record.ts'
import type { MountSnapshot } from '../mount-snapshot.ts'
import { BOOT_ID, KUBELET } from '../node-paths.ts'

const POD_MOUNT = '/mnt'

/** Names of one folder that are told. */
const MOST_NAMES = 20

/** The lines of the node's mountinfo that concern volumes: what is mounted below the kubelet's folder. */
export function nodeMounts(): readonly string[] {
  return mountsBelow('self', KUBELET).filter((line) => !line.includes(` ${KUBELET} `))
}

/** The lines of a pod's mountinfo that concern its volume. */
export function podMounts(pid: number): readonly string[] {
  return mountsBelow(pid, POD_MOUNT)
}

function mountsBelow(pid: number | 'self', folder: string): readonly string[] {
  return linesOf(pid, ({ mountPoint }) => mountPoint === folder || mountPoint.startsWith(`${folder}/`))
}

/** The lines of the mountinfo of a process as they are, of the mounts that are wanted; none if it has ended. */
function linesOf(pid: number | 'self', wants: (line: MountinfoLine) => boolean): readonly string[] {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  } catch {
    // It ended.
    return []
  }
  const wanted = new Set(
    parseMountinfo(text)
      .filter(wants)
      .map(({ id }) => id),
  )
  return text.split('\n').filter((line) => wanted.has(parseInt(line, 10)) && line !== '')
}

/** The lines of the node's mountinfo of what a driver has mounted since a snapshot and left there. */
export function mountsLeft(before: MountSnapshot): readonly string[] {
  const left = new Set(
    before
      .left()
      .filter(({ mountPoint }) => mountPoint !== BOOT_ID)
      .map(({ id }) => id),
  )
  return linesOf('self', ({ id }) => left.has(id))
}

/** Which process of this node holds which FUSE descriptor: `dummy-fuse[231] fd 5: connection 74`. */
export function fuseHolders(): readonly string[] {
  return holders().map(({ words }) => words)
}

/** Those of connections that no mount of the node has any more. A descriptor without a connection serves no volume. */
export function holdersLeft(before: MountSnapshot): readonly string[] {
  const mounted = new Set(before.now().map(({ device }) => connectionOfDevice(device)))
  return holders().flatMap(({ words, connection }) => (connection === undefined || mounted.has(connection) ? [] : [words]))
}

function holders(): readonly FuseDescriptor[] {
  return processIds()
    .filter((pid) => sharesMounts(pid) || pid === 1)
    .flatMap(fuseDescriptorsOf)
}

/** The files that lie on the node's own disk where volumes belong, below whatever is mounted there. */
export async function filesOnDisk(): Promise<readonly string[]> {
  const files = await beneath((root) => ['pods', 'plugins/kubernetes.io'].flatMap((folder) => filesBelow(root, folder)))
  return files ?? []
}

/** Those of some folders of the kubelet's that exist, with what is in them on the node's own disk. */
export async function foldersOnDisk(paths: readonly string[]): Promise<Leftovers['folders']> {
  const there = (root: string): Leftovers['folders'] =>
    paths.flatMap((path) => {
      try {
        return [{ path, names: readdirSync(join(root, path.slice(KUBELET.length))).slice(0, MOST_NAMES) }]
      } catch (error) {
        if (codeOf(error) === undefined) throw error
        return []
      }
    })
  return (await beneath(there)) ?? []
}

/**
 * Looks at the kubelet's folder without what is mounted in it: a bind of that folder alone shows it. `look` has the path of the bind. Undefined where there can be
 * none.
 */
async function beneath<T>(look: (root: string) => T): Promise<T | undefined> {
  const root = join(KUBELET, 'tmp/beneath')
  makeDirectories(root)
  const { status } = await run('mount', ['-n', '--bind', KUBELET, root], 5000)
  if (status !== 0) return undefined
  try {
    return look(root)
  } finally {
    await run('umount', ['-n', '-l', root], 5000)
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
