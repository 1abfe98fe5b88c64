import { readFileSync } from 'node:fs'

/**
 * A field that proc_pid_fdinfo(5) has of a descriptor: `flags` in octal digits, `fuse_connection`. Undefined where the kernel does not tell it. Unlike
 * fstat(2), it never waits for a file system. Throws Node's error for a descriptor that is not open.
 */
export function fdinfoField(name: string, fd: number, pid: number | 'self' = 'self'): string | undefined {
  const lines = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1').split('\n')
  return lines
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1)
    .trim()
}

/** The flags of open(2) that a descriptor has, O_CLOEXEC among them. Throws as {@link fdinfoField} does. */
export function openFlags(fd: number, pid: number | 'self' = 'self'): number {
  return parseInt(fdinfoField('flags', fd, pid) ?? '0', 8)
}
