import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../../errors.ts'
import { parseMountinfo } from '../../os/mountinfo.ts'
import { sharesMounts } from '../../os/processes.ts'
import { run } from '../../os/run.ts'
import { KUBELET } from '../node-paths.ts'

const POD_MOUNT = '/mnt'

/** The lines of a process's mountinfo that concern volumes: what is mounted below the kubelet's folder, or in a pod at its /mnt. */
export function volumeMounts(pid: number | 'self'): readonly string[] {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  } catch {
    // It ended.
    return []
  }
  const of = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)
  const wanted = new Set(
    parseMountinfo(text)
      .filter(({ mountPoint }) => (of(mountPoint, KUBELET) && mountPoint !== KUBELET) || of(mountPoint, POD_MOUNT))
      .map(({ id }) => id),
  )
  return text.split('\n').filter((line) => wanted.has(parseInt(line, 10)) && line !== '')
}

/** Which process of this node holds which FUSE descriptor: `dummy-fuse[231] fd 5: connection 74`. */
export function fuseHolders(): readonly string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.filter((pid) => sharesMounts(Number(pid)) || pid === '1').flatMap(descriptorsOf)
}

function descriptorsOf(pid: string): readonly string[] {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).flatMap((fd) => {
      if (linkOf(join(folder, fd)) !== '/dev/fuse') return []
      const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')
      const [, connection = '?'] = /^fuse_connection:\s*(\d+)/m.exec(info) ?? []
      return [`${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}[${pid}] fd ${fd}: connection ${connection}`]
    })
  } catch {
    // It ended while it was looked at.
    return []
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/**
 * The files that lie on the node's own disk where volumes belong, below whatever is mounted there. A bind of the kubelet's folder
 * alone, without what is mounted in it, shows them.
 */
export async function filesOnDisk(): Promise<readonly string[]> {
  const beneath = join(KUBELET, 'tmp/beneath')
  mkdirSync(beneath, { recursive: true })
  const { status } = await run('mount', ['-n', '--bind', KUBELET, beneath], 5000)
  if (status !== 0) return []
  try {
    return ['pods', 'plugins/kubernetes.io'].flatMap((folder) => filesBelow(beneath, folder))
  } finally {
    await run('umount', ['-n', '-l', beneath], 5000)
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
