import type { RequestCase } from './fuse-traffic-request-case.ts'

const READ = {
  struct: 'fuse_read_in',
  body: `
    01 02 03 04 05 06 07 f8  # fh
    02 00 00 00 01 00 00 80  # offset
    00 10 00 00              # size: 4096
    02 00 00 00              # read_flags: FUSE_READ_LOCKOWNER
    11 12 13 14 15 16 17 98  # lock_owner
    00 80 00 00              # flags: O_LARGEFILE
    00 00 00 00              # padding`,
  fields: {
    fh: 0xf807060504030201n,
    offset: 0x8000000100000002n,
    size: 4096,
    readFlags: 2,
    lockOwner: 0x9817161514131211n,
    flags: 0x8000,
  },
} as const

const OPEN = {
  struct: 'fuse_open_in',
  body: `
    00 88 00 00              # flags: O_LARGEFILE|O_NONBLOCK
    01 00 00 00              # open_flags: FUSE_OPEN_KILL_SUIDGID`,
  fields: { flags: 0x8800, openFlags: 1 },
} as const

const RELEASE = {
  struct: 'fuse_release_in',
  body: `
    01 02 03 04 05 06 07 f8  # fh
    00 80 00 00              # flags
    03 00 00 00              # release_flags: FUSE_RELEASE_FLUSH|FUSE_RELEASE_FLOCK_UNLOCK
    11 12 13 14 15 16 17 98  # lock_owner`,
  fields: { fh: 0xf807060504030201n, flags: 0x8000, releaseFlags: 3, lockOwner: 0x9817161514131211n },
} as const

const FSYNC = {
  struct: 'fuse_fsync_in',
  body: `
    01 02 03 04 05 06 07 f8  # fh
    01 00 00 00              # fsync_flags: FUSE_FSYNC_FDATASYNC
    00 00 00 00              # padding`,
  fields: { fh: 0xf807060504030201n, fsyncFlags: 1 },
} as const

const LOCK = {
  struct: 'fuse_lk_in',
  body: `
    01 02 03 04 05 06 07 f8  # fh
    11 12 13 14 15 16 17 98  # owner
    0a 00 00 00 00 00 00 00  # lk.start
    ff ff ff ff ff ff ff 7f  # lk.end: to the end of the file
    01 00 00 00              # lk.type: F_WRLCK
    39 30 00 00              # lk.pid
    01 00 00 00              # lk_flags: FUSE_LK_FLOCK
    00 00 00 00              # padding`,
  fields: {
    fh: 0xf807060504030201n,
    owner: 0x9817161514131211n,
    start: 10n,
    end: 0x7fffffffffffffffn,
    type: 1,
    pid: 12345,
    lkFlags: 1,
  },
} as const

const COPY = {
  struct: 'fuse_copy_file_range_in',
  body: `
    01 00 00 00 00 00 00 81  # fh_in
    02 00 00 00 00 00 00 00  # off_in
    03 00 00 00 00 00 00 83  # nodeid_out
    04 00 00 00 00 00 00 84  # fh_out
    05 00 00 00 00 00 00 00  # off_out
    00 00 00 00 08 00 00 00  # len: 32 GiB
    06 00 00 00 00 00 00 80  # flags`,
  fields: {
    fhIn: 0x8100000000000001n,
    offsetIn: 2n,
    nodeidOut: 0x8300000000000003n,
    fhOut: 0x8400000000000004n,
    offsetOut: 5n,
    length: 0x800000000n,
    flags: 0x8000000000000006n,
  },
} as const

/** Requests about open files and directories. */
export const FILES_REQUESTS: readonly RequestCase[] = [
  { op: 'OPEN', ...OPEN },
  { op: 'READ', ...READ },
  {
    op: 'WRITE',
    struct: 'fuse_write_in',
    body: `
      01 02 03 04 05 06 07 f8  # fh
      00 00 00 00 01 00 00 00  # offset: 4 GiB
      03 00 00 00              # size
      07 00 00 00              # write_flags: CACHE, LOCKOWNER, KILL_SUIDGID
      11 12 13 14 15 16 17 98  # lock_owner
      01 80 00 00              # flags: O_WRONLY|O_LARGEFILE
      00 00 00 00              # padding
      61 00 63                 # the data`,
    fields: {
      fh: 0xf807060504030201n,
      offset: 0x100000000n,
      writeFlags: 7,
      lockOwner: 0x9817161514131211n,
      flags: 0x8001,
      data: Buffer.from('a\0c'),
    },
  },
  { op: 'RELEASE', ...RELEASE },
  { op: 'FSYNC', ...FSYNC },
  {
    op: 'FLUSH',
    struct: 'fuse_flush_in',
    body: `
      01 02 03 04 05 06 07 f8  # fh
      00 00 00 00              # unused
      00 00 00 00              # padding
      11 12 13 14 15 16 17 98  # lock_owner`,
    fields: { fh: 0xf807060504030201n, lockOwner: 0x9817161514131211n },
  },
  { op: 'OPENDIR', ...OPEN },
  { op: 'READDIR', ...READ },
  { op: 'RELEASEDIR', ...RELEASE },
  { op: 'FSYNCDIR', ...FSYNC },
  { op: 'GETLK', ...LOCK },
  { op: 'SETLK', ...LOCK },
  { op: 'SETLKW', ...LOCK },
  {
    op: 'BMAP',
    struct: 'fuse_bmap_in',
    body: `
      01 02 03 04 05 06 07 f8  # block
      00 10 00 00              # blocksize
      00 00 00 00              # padding`,
    fields: { block: 0xf807060504030201n, blockSize: 4096 },
  },
  {
    op: 'IOCTL',
    struct: 'fuse_ioctl_in',
    body: `
      01 02 03 04 05 06 07 f8  # fh
      02 00 00 00              # flags: FUSE_IOCTL_UNRESTRICTED
      01 66 08 80              # cmd: FS_IOC_GETFLAGS
      00 e0 ff ff ff 7f 00 00  # arg
      02 00 00 00              # in_size
      04 00 00 00              # out_size
      61 62                    # the data`,
    fields: { fh: 0xf807060504030201n, flags: 2, cmd: 0x80086601, arg: 0x7fffffffe000n, outSize: 4, data: Buffer.from('ab') },
  },
  {
    op: 'POLL',
    struct: 'fuse_poll_in',
    body: `
      01 02 03 04 05 06 07 f8  # fh
      11 12 13 14 15 16 17 98  # kh
      01 00 00 00              # flags: FUSE_POLL_SCHEDULE_NOTIFY
      41 00 00 00              # events`,
    fields: { fh: 0xf807060504030201n, kh: 0x9817161514131211n, flags: 1, events: 0x41 },
  },
  {
    op: 'FALLOCATE',
    struct: 'fuse_fallocate_in',
    body: `
      01 02 03 04 05 06 07 f8  # fh
      00 00 00 00 01 00 00 00  # offset: 4 GiB
      00 00 00 00 02 00 00 00  # length: 8 GiB
      03 00 00 00              # mode: FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE
      00 00 00 00              # padding`,
    fields: { fh: 0xf807060504030201n, offset: 0x100000000n, length: 0x200000000n, mode: 3 },
  },
  { op: 'READDIRPLUS', ...READ },
  {
    op: 'LSEEK',
    struct: 'fuse_lseek_in',
    body: `
      01 02 03 04 05 06 07 f8  # fh
      00 00 00 00 01 00 00 00  # offset: 4 GiB
      04 00 00 00              # whence: SEEK_HOLE
      00 00 00 00              # padding`,
    fields: { fh: 0xf807060504030201n, offset: 0x100000000n, whence: 4 },
  },
  { op: 'COPY_FILE_RANGE', ...COPY },
  { op: 'COPY_FILE_RANGE_64', ...COPY },
  {
    op: 'SETUPMAPPING',
    struct: 'fuse_setupmapping_in',
    body: `
      01 02 03 04 05 06 07 f8  # fh
      00 00 00 00 01 00 00 00  # foffset
      00 00 20 00 00 00 00 00  # len
      01 00 00 00 00 00 00 00  # flags: FUSE_SETUPMAPPING_FLAG_WRITE
      00 00 40 00 00 00 00 00  # moffset`,
    fields: { fh: 0xf807060504030201n, foffset: 0x100000000n, length: 0x200000n, flags: 1n, moffset: 0x400000n },
  },
  {
    op: 'REMOVEMAPPING',
    struct: 'fuse_removemapping_in',
    body: `
      01 00 00 00              # count
      00 00 40 00 00 00 00 00  # moffset
      00 00 20 00 00 00 00 00  # len`,
    fields: { ranges: [{ moffset: 0x400000n, length: 0x200000n }] },
  },
]
