import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as constants from '../../src/fuse/protocol/constants.ts'

/** Names of include/uapi/linux/fuse.h, each at the place that is its number; `-` is none's. */
const OPCODES = `
  - LOOKUP FORGET GETATTR SETATTR READLINK SYMLINK - MKNOD MKDIR
  UNLINK RMDIR RENAME LINK OPEN READ WRITE STATFS RELEASE -
  FSYNC SETXATTR GETXATTR LISTXATTR REMOVEXATTR FLUSH INIT OPENDIR READDIR RELEASEDIR
  FSYNCDIR GETLK SETLK SETLKW ACCESS CREATE INTERRUPT BMAP DESTROY IOCTL
  POLL NOTIFY_REPLY BATCH_FORGET FALLOCATE READDIRPLUS RENAME2 LSEEK COPY_FILE_RANGE SETUPMAPPING REMOVEMAPPING
  SYNCFS TMPFILE STATX COPY_FILE_RANGE_64`

const NOTIFICATIONS = '- POLL INVAL_INODE INVAL_ENTRY STORE RETRIEVE DELETE RESEND INC_EPOCH PRUNE'

/** The same of flags: the place is the bit. */
const FLAGS: Readonly<Record<string, readonly [table: Readonly<Record<string, number | bigint>>, names: string]>> = {
  INIT: [
    constants.INIT,
    `ASYNC_READ POSIX_LOCKS FILE_OPS ATOMIC_O_TRUNC EXPORT_SUPPORT BIG_WRITES DONT_MASK SPLICE_WRITE
     SPLICE_MOVE SPLICE_READ FLOCK_LOCKS HAS_IOCTL_DIR AUTO_INVAL_DATA DO_READDIRPLUS READDIRPLUS_AUTO ASYNC_DIO
     WRITEBACK_CACHE NO_OPEN_SUPPORT PARALLEL_DIROPS HANDLE_KILLPRIV POSIX_ACL ABORT_ERROR MAX_PAGES CACHE_SYMLINKS
     NO_OPENDIR_SUPPORT EXPLICIT_INVAL_DATA MAP_ALIGNMENT SUBMOUNTS HANDLE_KILLPRIV_V2 SETXATTR_EXT INIT_EXT INIT_RESERVED
     SECURITY_CTX HAS_INODE_DAX CREATE_SUPP_GROUP HAS_EXPIRE_ONLY DIRECT_IO_ALLOW_MMAP PASSTHROUGH NO_EXPORT_SUPPORT HAS_RESEND
     ALLOW_IDMAP OVER_IO_URING REQUEST_TIMEOUT`,
  ],
  FOPEN: [constants.FOPEN, 'DIRECT_IO KEEP_CACHE NONSEEKABLE CACHE_DIR STREAM NOFLUSH PARALLEL_DIRECT_WRITES PASSTHROUGH'],
  FATTR: [constants.FATTR, 'MODE UID GID SIZE ATIME MTIME FH ATIME_NOW MTIME_NOW LOCKOWNER CTIME KILL_SUIDGID'],
  WRITE: [constants.WRITE, 'CACHE LOCKOWNER KILL_SUIDGID'],
  RELEASE: [constants.RELEASE, 'FLUSH FLOCK_UNLOCK'],
  IOCTL: [constants.IOCTL, 'COMPAT UNRESTRICTED RETRY IS_32BIT DIR COMPAT_X32'],
  ATTR: [constants.ATTR, 'SUBMOUNT DAX'],
}

function places(names: string): [string, number][] {
  const listed = names.trim().split(/\s+/)
  return listed.map((name, place): [string, number] => [name, place]).filter(([name]) => name !== '-')
}

describe("the protocol's constants", () => {
  it('number the opcodes as the kernel does', () => {
    const { CUSE_INIT, CUSE_INIT_BSWAP_RESERVED, FUSE_INIT_BSWAP_RESERVED, ...opcodes } = constants.OPCODE
    assert.deepEqual(opcodes, Object.fromEntries(places(OPCODES)))
    assert.equal(CUSE_INIT, 4096)
    assert.equal(CUSE_INIT_BSWAP_RESERVED, CUSE_INIT << 8)
    assert.equal(FUSE_INIT_BSWAP_RESERVED, constants.OPCODE.INIT << 24)
  })

  it('number the notifications as the kernel does', () => {
    assert.deepEqual(constants.NOTIFY, Object.fromEntries(places(NOTIFICATIONS)))
  })

  for (const [title, [table, names]] of Object.entries(FLAGS)) {
    it(`have the flags of ${title} at their bits`, () => {
      const expected = places(names).map(([name, bit]) => [name, 1n << BigInt(bit)] as const)
      assert.deepEqual(
        Object.fromEntries(Object.entries(table).map(([name, flag]) => [name, BigInt(flag)])),
        Object.fromEntries(expected),
      )
    })
  }

  it('have the rest as the header has it', () => {
    assert.equal(constants.ROOT_NODE, 1n)
    assert.equal(constants.IN_HEADER_SIZE, 40)
    assert.equal(constants.OUT_HEADER_SIZE, 16)
    assert.equal(constants.MIN_READ_BUFFER, 8192)
    assert.equal(constants.RESEND_BIT, 0x8000000000000000n)
    assert.deepEqual(constants.PROTOCOL, { major: 7, oldestMinor: 31, newestMinor: 45 })
    assert.equal(constants.READ_LOCKOWNER, 2)
    for (const name of [
      'GETATTR_FH',
      'FSYNC_FDATASYNC',
      'LK_FLOCK',
      'OPEN_KILL_SUIDGID',
      'SETXATTR_ACL_KILL_SGID',
      'POLL_SCHEDULE_NOTIFY',
    ] as const) {
      assert.equal(constants[name], 1, name)
    }
  })
})
