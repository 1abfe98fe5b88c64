import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { connectionOf, isFuseDevice } from '../os/mounts/fuse-connections.ts'

/** The FUSE descriptors that a process holds, in words: `dummy-fuse[231] fd 5: connection 74`. None for a process that has ended. */
export function fuseDescriptorsOf(pid: number): readonly string[] {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).flatMap((fd) => {
      if (!isFuseDevice(linkOf(join(folder, fd)))) return []
      const connection = connectionOf(Number(fd), pid) ?? '?'
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
