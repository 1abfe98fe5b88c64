import { FOPEN } from '../../src/fuse/protocol/constants.ts'
import { addEntry, addEntryPlus, beginDirectory, endDirectory } from '../../src/fuse/protocol/directory.ts'
import * as replies from '../../src/fuse/protocol/replies.ts'
import type { Writer } from '../../src/fuse/protocol/writer.ts'
import { header, type ReplyCase, UNIQUE } from './fuse-traffic-reply-case.ts'

const attributes: replies.Attributes = {
  nodeid: 0xf807060504030201n,
  size: 0x100000000n,
  blocks: 8388608,
  atime: -1.25,
  mtime: 1618579413.5,
  ctime: 2 ** 33,
  mode: 0o100444,
  nlink: 1,
  uid: 1000,
  gid: 4294967295,
  rdev: 0x103,
  blksize: 4096,
  flags: 1,
}

const ATTR = `
    01 02 03 04 05 06 07 f8  # ino
    00 00 00 00 01 00 00 00  # size: 4 GiB
    00 00 80 00 00 00 00 00  # blocks
    fe ff ff ff ff ff ff ff  # atime: two seconds before 1970
    d5 8f 79 60 00 00 00 00  # mtime
    00 00 00 00 02 00 00 00  # ctime
    80 17 b4 2c              # atimensec: 750000000
    00 65 cd 1d              # mtimensec: 500000000
    00 00 00 00              # ctimensec
    24 81 00 00              # mode: regular file, 0444
    01 00 00 00              # nlink
    e8 03 00 00              # uid
    ff ff ff ff              # gid
    03 01 00 00              # rdev
    00 10 00 00              # blksize
    01 00 00 00              # flags: FUSE_ATTR_SUBMOUNT`

const entry: replies.Entry = { nodeid: 0xf807060504030201n, generation: 2n, entryValid: 1.5, attrValid: 0.1, attributes }

const ENTRY = `
    01 02 03 04 05 06 07 f8  # nodeid
    02 00 00 00 00 00 00 00  # generation
    01 00 00 00 00 00 00 00  # entry_valid
    00 00 00 00 00 00 00 00  # attr_valid
    00 65 cd 1d              # entry_valid_nsec: 500000000
    00 e1 f5 05              # attr_valid_nsec: 100000000
`

const OPEN = `
    11 12 13 14 15 16 17 18  # fh
    0a 00 00 00              # open_flags: FOPEN_KEEP_CACHE|FOPEN_CACHE_DIR
    00 00 00 00              # padding, from 7.40 on backing_id`

/** Replies that tell of nodes, and those without a body. */
export const NODE_REPLIES: readonly ReplyCase[] = [
  {
    title: 'encodeError turns the errno around',
    encode: (writer) => replies.encodeError(writer, UNIQUE, 2),
    header: header('10 00 00 00', 'fe ff ff ff'),
  },
  {
    title: 'encodeEmpty is a header alone',
    encode: (writer) => replies.encodeEmpty(writer, UNIQUE),
    header: header('10 00 00 00'),
  },
  {
    title: 'encodeEntry',
    encode: (writer) => replies.encodeEntry(writer, UNIQUE, entry),
    header: header('90 00 00 00'),
    structs: [['fuse_entry_out', `${ENTRY}${ATTR.replaceAll('# ', '# attr.')}`]],
  },
  {
    title: 'encodeAttr',
    encode: (writer) => replies.encodeAttr(writer, UNIQUE, 3600.25, attributes),
    header: header('78 00 00 00'),
    structs: [
      [
        'fuse_attr_out',
        `
    10 0e 00 00 00 00 00 00  # attr_valid
    80 b2 e6 0e              # attr_valid_nsec: 250000000
    00 00 00 00              # dummy${ATTR.replaceAll('# ', '# attr.')}`,
      ],
    ],
  },
  {
    title: 'encodeOpen',
    encode: (writer) => replies.encodeOpen(writer, UNIQUE, 0x1817161514131211n, FOPEN.KEEP_CACHE | FOPEN.CACHE_DIR),
    header: header('20 00 00 00'),
    structs: [['fuse_open_out', OPEN]],
  },
  {
    title: 'encodeCreate',
    encode: (writer) => replies.encodeCreate(writer, UNIQUE, entry, 0x1817161514131211n, FOPEN.KEEP_CACHE | FOPEN.CACHE_DIR),
    header: header('a0 00 00 00'),
    structs: [
      ['fuse_entry_out', `${ENTRY}${ATTR.replaceAll('# ', '# attr.')}`],
      ['fuse_open_out', OPEN],
    ],
  },
  {
    title: 'encodeStatx',
    encode: (writer) => replies.encodeStatx(writer, UNIQUE, 3600.25, { ...attributes, rdev: 0x12345678, btime: 1.5, mask: 0xfff }),
    header: header('30 01 00 00'),
    structs: [
      [
        'fuse_statx_out',
        `
    10 0e 00 00 00 00 00 00  # attr_valid
    80 b2 e6 0e              # attr_valid_nsec: 250000000
    00 00 00 00              # flags
    00 00 00 00 00 00 00 00  # spare
    00 00 00 00 00 00 00 00
    ff 0f 00 00              # stat.mask
    00 10 00 00              # stat.blksize
    00 00 00 00 00 00 00 00  # stat.attributes
    01 00 00 00              # stat.nlink
    e8 03 00 00              # stat.uid
    ff ff ff ff              # stat.gid
    24 81                    # stat.mode
    00 00
    01 02 03 04 05 06 07 f8  # stat.ino
    00 00 00 00 01 00 00 00  # stat.size
    00 00 80 00 00 00 00 00  # stat.blocks
    00 00 00 00 00 00 00 00  # stat.attributes_mask
    fe ff ff ff ff ff ff ff  # stat.atime.tv_sec
    80 17 b4 2c              # stat.atime.tv_nsec
    00 00 00 00
    01 00 00 00 00 00 00 00  # stat.btime.tv_sec
    00 65 cd 1d              # stat.btime.tv_nsec
    00 00 00 00
    00 00 00 00 02 00 00 00  # stat.ctime.tv_sec
    00 00 00 00              # stat.ctime.tv_nsec
    00 00 00 00
    d5 8f 79 60 00 00 00 00  # stat.mtime.tv_sec
    00 65 cd 1d              # stat.mtime.tv_nsec
    00 00 00 00
    56 04 00 00              # stat.rdev_major
    78 23 01 00              # stat.rdev_minor
    00 00 00 00              # stat.dev_major
    00 00 00 00              # stat.dev_minor
    ${'00'.repeat(112)}`,
      ],
    ],
  },
  {
    title: 'a directory of two entries',
    encode: (writer: Writer): void => {
      beginDirectory(writer, UNIQUE)
      addEntry(writer, { nodeid: 1n, offset: 1n, type: 4, name: '.' }, 4096)
      addEntry(writer, { nodeid: 0xf807060504030201n, offset: 0x100000000n, type: 8, name: 'größe' }, 4096)
      endDirectory(writer)
    },
    header: header('50 00 00 00'),
    rest: `
    01 00 00 00 00 00 00 00  # ino
    01 00 00 00 00 00 00 00  # off
    01 00 00 00              # namelen
    04 00 00 00              # type: DT_DIR
    2e 00 00 00 00 00 00 00  # name: "." and padding
    01 02 03 04 05 06 07 f8  # ino
    00 00 00 00 01 00 00 00  # off
    07 00 00 00              # namelen
    08 00 00 00              # type: DT_REG
    67 72 c3 b6 c3 9f 65 00  # name: "größe" and padding`,
  },
  {
    title: 'a directory with the attributes of its entry',
    encode: (writer: Writer): void => {
      beginDirectory(writer, UNIQUE)
      addEntryPlus(writer, { ...entry, offset: 3n, type: 8, name: 'the file' }, 4096)
      endDirectory(writer)
    },
    header: header('b0 00 00 00'),
    structs: [
      [
        'fuse_direntplus',
        `${ENTRY.replaceAll('# ', '# entry_out.')}${ATTR.replaceAll('# ', '# entry_out.attr.')}
    01 02 03 04 05 06 07 f8  # dirent.ino
    03 00 00 00 00 00 00 00  # dirent.off
    08 00 00 00              # dirent.namelen
    08 00 00 00              # dirent.type: DT_REG`,
      ],
    ],
    rest: '"the file"',
  },
  {
    title: 'a directory at its end',
    encode: (writer: Writer): void => {
      beginDirectory(writer, UNIQUE)
      endDirectory(writer)
    },
    header: header('10 00 00 00'),
  },
]
