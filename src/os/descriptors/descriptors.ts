import { closeSync, fstatSync, readdirSync, readFileSync } from 'node:fs'
import { codeOf } from '../../errors.ts'
import { openFlags } from './fdinfo.ts'

const O_CLOEXEC = 0o2000000

/**
 * Closes the descriptors that came from the parent process, but for standard ones and `keep`, if one is given. Those that Node and libuv opened are
 * close-on-exec, those that were inherited through exec cannot be. Node's own spawn() passes on what its caller had.
 */
export function closeForeignDescriptors(keep?: number): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name)
    if (fd > 2 && fd !== keep && isForeign(fd)) closeSync(fd)
  }
}

/** RLIMIT_NOFILE: one more than the highest descriptor of this process. Node has raised the soft limit to the hard limit. */
export function openFilesLimit(): number {
  const [, soft = ''] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return soft === '' ? Infinity : Number(soft)
}

function isForeign(fd: number): boolean {
  try {
    return (openFlags(fd) & O_CLOEXEC) === 0
  } catch (error) {
    // The descriptor that listed the folder is closed by now.
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** Whether a descriptor is an open socket. A variable of the environment may name descriptors of another process. */
export function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket()
  } catch {
    return false
  }
}
