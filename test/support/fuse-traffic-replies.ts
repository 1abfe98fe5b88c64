import { INIT } from '../../src/fuse/protocol/constants.ts'
import { encodeResend } from '../../src/fuse/protocol/notifications.ts'
import * as replies from '../../src/fuse/protocol/replies.ts'
import { NODE_REPLIES } from './fuse-traffic-replies-nodes.ts'
import { header, type ReplyCase, UNIQUE } from './fuse-traffic-reply-case.ts'

/** One case at least for each encoder. */
export const REPLIES: readonly ReplyCase[] = [
  ...NODE_REPLIES,
  {
    title: 'encodeBytes',
    encode: (writer) => replies.encodeBytes(writer, UNIQUE, Buffer.from('a\0c')),
    header: header('13 00 00 00'),
    rest: '61 00 63',
  },
  {
    title: 'encodeBytes without any',
    encode: (writer) => replies.encodeBytes(writer, UNIQUE, new Uint8Array()),
    header: header('10 00 00 00'),
  },
  {
    title: 'encodeStatfs',
    encode: (writer) =>
      replies.encodeStatfs(writer, UNIQUE, {
        blocks: 0x100000000n,
        blocksFree: 2,
        blocksAvailable: 3n,
        files: 4,
        filesFree: 2 ** 32 + 5,
        blockSize: 131072,
        nameLength: 255,
        fragmentSize: 4096,
      }),
    header: header('60 00 00 00'),
    structs: [
      [
        'fuse_kstatfs',
        `
    00 00 00 00 01 00 00 00  # blocks
    02 00 00 00 00 00 00 00  # bfree
    03 00 00 00 00 00 00 00  # bavail
    04 00 00 00 00 00 00 00  # files
    05 00 00 00 01 00 00 00  # ffree
    00 00 02 00              # bsize
    ff 00 00 00              # namelen
    00 10 00 00              # frsize
    00 00 00 00              # padding
    00 00 00 00 00 00 00 00  # spare
    00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00`,
      ],
    ],
  },
  {
    title: 'encodeInit',
    encode: (writer) =>
      replies.encodeInit(writer, UNIQUE, {
        minor: 45,
        maxReadahead: 131072,
        flags: INIT.ASYNC_READ | INIT.MAX_PAGES | INIT.INIT_EXT | INIT.INIT_RESERVED | INIT.HAS_RESEND,
        maxBackground: 12,
        congestionThreshold: 9,
        maxWrite: 1048576,
        timeGran: 1,
        maxPages: 256,
      }),
    header: header('50 00 00 00'),
    structs: [
      [
        'fuse_init_out',
        `
    07 00 00 00              # major
    2d 00 00 00              # minor: 45
    00 00 02 00              # max_readahead
    01 00 40 c0              # flags: bits 0, 22, 30 and 31
    0c 00                    # max_background
    09 00                    # congestion_threshold
    00 00 10 00              # max_write
    01 00 00 00              # time_gran
    00 01                    # max_pages
    00 00                    # map_alignment
    80 00 00 00              # flags2: FUSE_HAS_RESEND
    00 00 00 00              # unused, from 7.40 on max_stack_depth
    00 00
    00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00
    00 00 00 00 00 00`,
      ],
    ],
  },
  {
    title: 'encodeXattrSize',
    encode: (writer) => replies.encodeXattrSize(writer, UNIQUE, 65536),
    header: header('18 00 00 00'),
    structs: [
      [
        'fuse_getxattr_out',
        `
    00 00 01 00              # size
    00 00 00 00              # padding`,
      ],
    ],
  },
  {
    title: 'encodeWritten',
    encode: (writer) => replies.encodeWritten(writer, UNIQUE, 4096),
    header: header('18 00 00 00'),
    structs: [
      [
        'fuse_write_out',
        `
    00 10 00 00              # size
    00 00 00 00              # padding`,
      ],
    ],
  },
  {
    title: 'encodeLseek',
    encode: (writer) => replies.encodeLseek(writer, UNIQUE, 0x100000000n),
    header: header('18 00 00 00'),
    structs: [['fuse_lseek_out', '00 00 00 00 01 00 00 00  # offset']],
  },
  {
    title: 'encodeCopied',
    encode: (writer) => replies.encodeCopied(writer, UNIQUE, 0x100000000n),
    header: header('18 00 00 00'),
    structs: [['fuse_copy_file_range_out', '00 00 00 00 01 00 00 00  # bytes_copied']],
  },
  {
    title: 'encodeLock',
    encode: (writer) => replies.encodeLock(writer, UNIQUE, { start: 10n, end: 0x7fffffffffffffffn, type: 2, pid: 12345 }),
    header: header('28 00 00 00'),
    structs: [
      [
        'fuse_lk_out',
        `
    0a 00 00 00 00 00 00 00  # lk.start
    ff ff ff ff ff ff ff 7f  # lk.end
    02 00 00 00              # lk.type: F_UNLCK
    39 30 00 00              # lk.pid`,
      ],
    ],
  },
  {
    title: 'encodeBmap',
    encode: (writer) => replies.encodeBmap(writer, UNIQUE, 0x100000000n),
    header: header('18 00 00 00'),
    structs: [['fuse_bmap_out', '00 00 00 00 01 00 00 00  # block']],
  },
  {
    title: 'encodeIoctl',
    encode: (writer) => replies.encodeIoctl(writer, UNIQUE, -1, Buffer.from('abc')),
    header: header('23 00 00 00'),
    structs: [
      [
        'fuse_ioctl_out',
        `
    ff ff ff ff              # result
    00 00 00 00              # flags
    00 00 00 00              # in_iovs
    00 00 00 00              # out_iovs`,
      ],
    ],
    rest: '"abc"',
  },
  {
    title: 'encodePoll',
    encode: (writer) => replies.encodePoll(writer, UNIQUE, 0x41),
    header: header('18 00 00 00'),
    structs: [
      [
        'fuse_poll_out',
        `
    41 00 00 00              # revents
    00 00 00 00              # padding`,
      ],
    ],
  },
  {
    title: 'encodeResend is a notification: an error above zero, and no unique',
    encode: (writer) => encodeResend(writer),
    header: `
    10 00 00 00              # len
    07 00 00 00              # error: FUSE_NOTIFY_RESEND
    00 00 00 00 00 00 00 00  # unique`,
  },
]
