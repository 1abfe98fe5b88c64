import { readFileSync } from 'node:fs'
import { parseMountinfo } from '../../os/mounts/mountinfo.ts'
import { processIds, sharesMounts } from '../../os/processes/processes.ts'
import { fuseDescriptorsOf } from '../fuse-holders.ts'
import { KUBELET } from '../node-paths.ts'

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
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  } catch {
    // It ended.
    return []
  }
  const wanted = new Set(
    parseMountinfo(text)
      .filter(({ mountPoint }) => mountPoint === folder || mountPoint.startsWith(`${folder}/`))
      .map(({ id }) => id),
  )
  return text.split('\n').filter((line) => wanted.has(parseInt(line, 10)) && line !== '')
}

/** Which process of this node holds which FUSE descriptor: `dummy-fuse[231] fd 5: connection 74`. */
export function fuseHolders(): readonly string[] {
  return processIds()
    .filter((pid) => sharesMounts(pid) || pid === 1)
    .flatMap(fuseDescriptorsOf)
}
