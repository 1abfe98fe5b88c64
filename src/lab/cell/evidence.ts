import { readFileSync } from 'node:fs'
import { connectionOfDevice } from '../../os/mounts/mount-table.ts'
import { type MountinfoLine, parseMountinfo } from '../../os/mounts/mountinfo.ts'
import { processIds } from '../../os/processes/processes.ts'
import { type FuseDescriptor, fuseDescriptorsOf } from '../fuse-holders.ts'
import type { MountSnapshot } from '../mount-snapshot.ts'
import { BOOT_ID, KUBELET } from '../node-paths.ts'
import { isOnNode } from './node-processes.ts'

const POD_MOUNT = '/mnt'

/** The lines of the node's mountinfo that concern volumes: what is mounted below the kubelet's folder. */
export function nodeMounts(): readonly string[] {
  return mountsBelow('self', KUBELET).filter((line) => !line.includes(` ${KUBELET} `))
}

/** The lines of a pod's mountinfo that concern its volume. */
export function podMounts(pid: number): readonly string[] {
  return mountsBelow(pid, POD_MOUNT)
}

/** What the kernel writes behind the root of a mount that is a deleted folder (fs/d_path.c). */
const DELETED = '//deleted'

/**
 * The folder that a mount of a mount table shows and that was deleted, as its file system names it. The mount has the folder itself, so that
 * another one at the same path makes no difference. Of mounts at one path the last one counts, which is on top.
 */
export function deletedFolderIn(lines: readonly string[]): string | undefined {
  const onTop = new Map(parseMountinfo(lines.join('\n')).map(({ mountPoint, root }) => [mountPoint, root]))
  const root = [...onTop.values()].find((one) => one.endsWith(DELETED))
  return root?.slice(0, -DELETED.length)
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
    .filter((pid) => isOnNode(pid) || pid === 1)
    .flatMap(fuseDescriptorsOf)
}
