import { connectionOf } from '../os/mounts/fuse-connections.ts'
import type { Libc } from '../os/libc.ts'
import type { StoredDescriptor } from './takeover.ts'

const POLLERR = 8

/** The state of kept devices, by name, from /proc and poll(2). No file system has to answer. */
export function storedDescriptors(
  libc: Libc,
  kept: readonly { readonly name: string; readonly fd: number }[],
): readonly StoredDescriptor[] {
  const errors = libc.pollErrors(kept.map(({ fd }) => fd))
  return kept.map(({ fd, name }, index) => {
    return { fd, name, connection: connectionOf(fd), dead: ((errors[index] ?? 0) & POLLERR) !== 0 }
  })
}
