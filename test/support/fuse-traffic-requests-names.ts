import type { RequestCase } from './fuse-traffic-request-case.ts'

const CREATE = {
  struct: 'fuse_create_in',
  body: `
    c2 80 00 00              # flags: O_RDWR|O_CREAT|O_EXCL|O_LARGEFILE
    a4 81 00 00              # mode: regular file, 0644
    12 00 00 00              # umask: 022
    01 00 00 00              # open_flags: FUSE_OPEN_KILL_SUIDGID
    "new"
    00`,
  fields: { flags: 0x80c2, mode: 0o100644, umask: 0o22, openFlags: 1, name: 'new' },
} as const

const NAME = { body: '"dummy-file.txt"\n00', fields: { name: 'dummy-file.txt' } } as const

/** Requests about names and attributes. */
export const NAMES_REQUESTS: readonly RequestCase[] = [
  { op: 'LOOKUP', ...NAME },
  {
    op: 'LOOKUP',
    title: 'of a name beyond ASCII',
    body: `
      c3 84 72 67 65 72        # "Ärger"
      20 f0 9f 98 80           # " 😀"
      00`,
    fields: { name: 'Ärger 😀' },
  },
  { op: 'LOOKUP', title: 'of a name that is no UTF-8', body: '61 ff 62 00', fields: { name: 'a\ufffdb' } },
  {
    op: 'GETATTR',
    struct: 'fuse_getattr_in',
    body: `
      01 00 00 00              # getattr_flags: FUSE_GETATTR_FH
      00 00 00 00              # dummy
      01 02 03 04 05 06 07 f8  # fh`,
    fields: { getattrFlags: 1, fh: 0xf807060504030201n },
  },
  {
    op: 'SETATTR',
    struct: 'fuse_setattr_in',
    body: `
      ff 0f 00 00              # valid: all
      00 00 00 00              # padding
      01 02 03 04 05 06 07 f8  # fh
      00 00 00 00 00 01 00 00  # size: 1 TiB
      11 12 13 14 15 16 17 98  # lock_owner
      ff ff ff ff ff ff ff ff  # atime: the second before 1970
      01 00 00 00 01 00 00 00  # mtime
      fe ff ff ff ff ff ff ff  # ctime
      ff c9 9a 3b              # atimensec: 999999999
      04 00 00 00              # mtimensec
      05 00 00 00              # ctimensec
      ed 81 00 00              # mode: regular file, 0755
      00 00 00 00              # unused4
      e8 03 00 00              # uid
      e9 03 00 00              # gid
      00 00 00 00              # unused5`,
    fields: {
      valid: 0xfff,
      fh: 0xf807060504030201n,
      size: 0x10000000000n,
      lockOwner: 0x9817161514131211n,
      atime: -1n,
      mtime: 0x100000001n,
      ctime: -2n,
      atimeNsec: 999_999_999,
      mtimeNsec: 4,
      ctimeNsec: 5,
      mode: 0o100755,
      uid: 1000,
      gid: 1001,
    },
  },
  { op: 'READLINK', body: '', fields: {} },
  { op: 'SYMLINK', body: '"link"\n00\n"the/target"\n00', fields: { name: 'link', target: 'the/target' } },
  {
    op: 'MKNOD',
    struct: 'fuse_mknod_in',
    body: `
      b6 21 00 00              # mode: character device, 0666
      03 01 00 00              # rdev: 1:3
      12 00 00 00              # umask: 022
      00 00 00 00              # padding
      "null"
      00`,
    fields: { mode: 0o20666, rdev: 0x103, umask: 0o22, name: 'null' },
  },
  {
    op: 'MKDIR',
    struct: 'fuse_mkdir_in',
    body: `
      ff 01 00 00              # mode: 0777
      12 00 00 00              # umask: 022
      "new"
      00`,
    fields: { mode: 0o777, umask: 0o22, name: 'new' },
  },
  { op: 'UNLINK', ...NAME },
  { op: 'RMDIR', ...NAME },
  {
    op: 'RENAME',
    struct: 'fuse_rename_in',
    body: `
      01 02 03 04 05 06 07 f8  # newdir
      "old"
      00
      "new"
      00`,
    fields: { newdir: 0xf807060504030201n, flags: 0, name: 'old', newName: 'new' },
  },
  {
    op: 'RENAME2',
    struct: 'fuse_rename2_in',
    body: `
      01 02 03 04 05 06 07 f8  # newdir
      02 00 00 00              # flags: RENAME_EXCHANGE
      00 00 00 00              # padding
      "old"
      00
      "new"
      00`,
    fields: { newdir: 0xf807060504030201n, flags: 2, name: 'old', newName: 'new' },
  },
  {
    op: 'LINK',
    struct: 'fuse_link_in',
    body: `
      01 02 03 04 05 06 07 f8  # oldnodeid
      "second"
      00`,
    fields: { oldNodeid: 0xf807060504030201n, name: 'second' },
  },
  {
    op: 'SETXATTR',
    title: 'without FUSE_SETXATTR_EXT',
    body: `
      03 00 00 00              # size
      01 00 00 00              # flags: XATTR_CREATE
      "user.colour"
      00
      72 00 64                 # the value`,
    fields: { flags: 1, setxattrFlags: 0, name: 'user.colour', value: Buffer.from('r\0d') },
  },
  {
    op: 'SETXATTR',
    title: 'with FUSE_SETXATTR_EXT',
    struct: 'fuse_setxattr_in',
    body: `
      03 00 00 00              # size
      02 00 00 00              # flags: XATTR_REPLACE
      01 00 00 00              # setxattr_flags: FUSE_SETXATTR_ACL_KILL_SGID
      00 00 00 00              # padding
      "system.posix_acl_access"
      00
      72 00 64                 # the value`,
    fields: { flags: 2, setxattrFlags: 1, name: 'system.posix_acl_access', value: Buffer.from('r\0d') },
  },
  {
    op: 'SETXATTR',
    title: 'with FUSE_SETXATTR_EXT, no flags and no value',
    struct: 'fuse_setxattr_in',
    body: `
      00 00 00 00              # size
      00 00 00 00              # flags
      00 00 00 00              # setxattr_flags
      00 00 00 00              # padding
      "user.x"
      00`,
    fields: { flags: 0, setxattrFlags: 0, name: 'user.x', value: Buffer.alloc(0) },
  },
  {
    op: 'GETXATTR',
    struct: 'fuse_getxattr_in',
    body: `
      00 01 00 00              # size: 256
      00 00 00 00              # padding
      "user.colour"
      00`,
    fields: { size: 256, name: 'user.colour' },
  },
  {
    op: 'LISTXATTR',
    struct: 'fuse_getxattr_in',
    body: `
      00 00 01 00              # size: 65536
      00 00 00 00              # padding`,
    fields: { size: 65536 },
  },
  { op: 'REMOVEXATTR', body: '"user.colour"\n00', fields: { name: 'user.colour' } },
  {
    op: 'ACCESS',
    struct: 'fuse_access_in',
    body: `
      04 00 00 00              # mask: R_OK
      00 00 00 00              # padding`,
    fields: { mask: 4 },
  },
  { op: 'CREATE', ...CREATE },
  { op: 'TMPFILE', ...CREATE },
  {
    op: 'STATX',
    struct: 'fuse_statx_in',
    body: `
      01 00 00 00              # getattr_flags: FUSE_GETATTR_FH
      00 00 00 00              # reserved
      01 02 03 04 05 06 07 f8  # fh
      00 20 00 00              # sx_flags: AT_STATX_FORCE_SYNC
      ff 0f 00 00              # sx_mask`,
    fields: { getattrFlags: 1, fh: 0xf807060504030201n, sxFlags: 0x2000, sxMask: 0xfff },
  },
]
