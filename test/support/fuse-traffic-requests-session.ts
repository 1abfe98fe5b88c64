import type { RequestCase } from './fuse-traffic-request-case.ts'

/** Requests about the session and the file system as a whole. */
export const SESSION_REQUESTS: readonly RequestCase[] = [
  { op: 'FORGET', struct: 'fuse_forget_in', body: '02 00 00 00 00 00 00 80  # nlookup', fields: { nlookup: 0x8000000000000002n } },
  { op: 'STATFS', body: '', fields: {} },
  {
    op: 'INIT',
    title: 'of Linux 6.18',
    struct: 'fuse_init_in',
    body: `
      07 00 00 00              # major
      2d 00 00 00              # minor: 45
      00 00 02 00              # max_readahead: 131072
      fb ff ff 73              # flags, FUSE_INIT_EXT among them
      fd 05 00 00              # flags2
      00 00 00 00 00 00 00 00  # unused
      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      00 00 00 00`,
    fields: { major: 7, minor: 45, maxReadahead: 131072, flags: 0x5fd73fffffbn },
  },
  {
    op: 'INIT',
    title: 'before 7.36',
    body: `
      07 00 00 00              # major
      1f 00 00 00              # minor: 31
      00 00 02 00              # max_readahead: 131072
      fb ff ff 03              # flags`,
    fields: { major: 7, minor: 31, maxReadahead: 131072, flags: 0x3fffffbn },
  },
  {
    op: 'INIT',
    title: 'of a newer minor version, longer than any known',
    body: `
      07 00 00 00              # major
      63 00 00 00              # minor: 99
      00 00 02 00              # max_readahead: 131072
      00 00 00 40              # flags: FUSE_INIT_EXT
      80 00 00 00              # flags2: FUSE_HAS_RESEND
      00 00 00 00 00 00 00 00  # unused
      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      00 00 00 00 00 00 00 00
      00 00 00 00
      01 02 03 04              # what 7.99 may add`,
    fields: { major: 7, minor: 99, maxReadahead: 131072, flags: 0x8040000000n },
  },
  {
    op: 'INIT',
    title: 'of another major version, whose rest is ignored',
    body: `
      08 00 00 00              # major
      01 00 00 00              # minor
      01 02 03                 # something else`,
    fields: { major: 8, minor: 1, maxReadahead: 0, flags: 0n },
  },
  {
    op: 'INIT',
    title: 'before 7.6, which is a version alone',
    body: `
      07 00 00 00              # major
      05 00 00 00              # minor`,
    fields: { major: 7, minor: 5, maxReadahead: 0, flags: 0n },
  },
  {
    op: 'INTERRUPT',
    struct: 'fuse_interrupt_in',
    body: '0a 00 00 00 00 00 00 80  # unique',
    fields: { target: 0x800000000000000an },
  },
  { op: 'DESTROY', body: '', fields: {} },
  {
    op: 'NOTIFY_REPLY',
    struct: 'fuse_notify_retrieve_in',
    body: `
      00 00 00 00 00 00 00 00  # dummy1
      00 10 00 00 00 00 00 00  # offset: 4096
      03 00 00 00              # size
      00 00 00 00              # dummy2
      00 00 00 00 00 00 00 00  # dummy3
      00 00 00 00 00 00 00 00  # dummy4
      61 62 63                 # the data`,
    fields: { offset: 4096n, data: Buffer.from('abc') },
  },
  {
    op: 'BATCH_FORGET',
    struct: 'fuse_batch_forget_in',
    body: `
      02 00 00 00              # count
      00 00 00 00              # dummy
      03 00 00 00 00 00 00 f0  # nodeid
      01 00 00 00 00 00 00 00  # nlookup
      04 00 00 00 00 00 00 00  # nodeid
      02 00 00 00 00 00 00 00  # nlookup`,
    fields: {
      forgets: [
        { nodeid: 0xf000000000000003n, nlookup: 1n },
        { nodeid: 4n, nlookup: 2n },
      ],
    },
  },
  { op: 'SYNCFS', struct: 'fuse_syncfs_in', body: '00 00 00 00 00 00 00 00  # padding', fields: {} },
]
