import { closeSync, openSync, writeFileSync } from 'node:fs'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import type { Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** x86-64 and arm64 share these numbers (include/uapi/asm-generic/unistd.h). */
const SYS = { openTree: 428, moveMount: 429, mountSetattr: 442 } as const
const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE_CLONE = 1
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_IDMAP = 0x100000n

/** The user that root is mapped to. */
export const MAPPED_ROOT = 100_000

/**
 * Mounts what is mounted at `source` at `target` too, with user and group 0 as {@link MAPPED_ROOT} and on, as a container runtime does it for a
 * pod with users of its own. Throws SystemError.
 */
export async function mountIdmapped(sandbox: Sandbox, source: string, target: string): Promise<void> {
  const libc = new Libc(new AddonLoader())
  const holder = sandbox.start('unshare', ['--user', 'sleep', '60'])
  await eventually('there is a user namespace', () => mapUsers(holder.pid))
  const users = openSync(`/proc/${holder.pid}/ns/user`, 'r')
  try {
    const tree = libc.checked(
      'open_tree',
      source,
      'long syscall(long, int, str, uint)',
      SYS.openTree,
      AT_FDCWD,
      source,
      OPEN_TREE_CLONE,
    )
    try {
      // struct mount_attr: attr_set, attr_clr, propagation, userns_fd, each of 64 bits.
      const attributes = Buffer.alloc(32)
      attributes.writeBigUInt64LE(MOUNT_ATTR_IDMAP, 0)
      attributes.writeBigUInt64LE(BigInt(users), 24)
      const setattr = 'long syscall(long, int, str, uint, void *, ulong)'
      libc.checked('mount_setattr', source, setattr, SYS.mountSetattr, tree, '', AT_EMPTY_PATH, attributes, attributes.length)
      const move = 'long syscall(long, int, str, int, str, uint)'
      libc.checked('move_mount', target, move, SYS.moveMount, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
    } finally {
      closeSync(tree)
    }
  } finally {
    closeSync(users)
    holder.child.kill('SIGKILL')
    await holder.ended
  }
}

/** Whether it has; false while the process has no user namespace of its own, whose map can be written. */
function mapUsers(pid: number): boolean {
  try {
    for (const file of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${file}`, `0 ${MAPPED_ROOT} 65536\n`)
    return true
  } catch {
    return false
  }
}
