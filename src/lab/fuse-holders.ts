import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { connectionOf, isFuseDevice } from '../os/mounts/fuse-connections.ts'

/** A FUSE descriptor that a process holds. */
export interface FuseDescriptor {
  /** `dummy-fuse[231] fd 5: connection 74`. */
  readonly words: string
  /** Undefined for one with which nothing was mounted yet, and where the kernel does not tell. */
  readonly connection: number | undefined
}

/** The FUSE descriptors that a process holds. None for a process that has ended. */
export function fuseDescriptorsOf(pid: number): readonly FuseDescriptor[] {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).flatMap((fd) => {
      if (!isFuseDevice(linkOf(join(folder, fd)))) return []
      const connection = connectionOf(Number(fd), pid)
      const comm = readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
      return [{ words: `${comm}[${pid}] fd ${fd}: connection ${connection ?? '?'}`, connection }]
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
