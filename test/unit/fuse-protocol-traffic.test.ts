import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { INIT, PROTOCOL, ROOT_NODE } from '../../src/fuse/protocol/constants.ts'
import { decodeRequest, isResent, type Request } from '../../src/fuse/protocol/requests.ts'
import { Writer } from '../../src/fuse/protocol/writer.ts'
import { answer, GREETING, handleOf, MANY_NAMES, REMOVED_NODES } from '../support/fuse-traffic-server.ts'
import { annotate, type Exchange, type Traffic } from '../support/fuse-traffic.ts'
import { ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const RECORDER = join(ROOT, 'test/support/fuse-traffic-recorder.ts')
const RECORDINGS = globSync(join(ROOT, 'test/fixtures/fuse-traffic/*.json'))

/** What test/support/fuse-traffic-client.py asked for, in whatever order and among whatever else the kernel asked. */
const EXPECTED: readonly (Partial<Record<string, unknown>> & { readonly op: Request['op'] })[] = [
  { op: 'INIT', major: PROTOCOL.major },
  { op: 'OPENDIR' },
  { op: 'READDIRPLUS', offset: 0n },
  { op: 'GETXATTR', name: 'user.colour', size: 128 },
  { op: 'GETXATTR', name: 'user.taste' },
  { op: 'LISTXATTR', size: 256 },
  { op: 'SETXATTR', name: 'user.colour', value: Buffer.from('green'), flags: 2, setxattrFlags: 0 },
  { op: 'REMOVEXATTR', name: 'user.colour' },
  { op: 'LOOKUP', name: 'größe' },
  { op: 'STATFS' },
  { op: 'READLINK' },
  { op: 'ACCESS', mask: 6 },
  // O_LARGEFILE|O_NONBLOCK|O_NOCTTY|O_CREAT|O_WRONLY, with coreutils' 0666 less the umask.
  { op: 'CREATE', name: 'created', flags: 0o104101, mode: 0o100640, umask: 0o27 },
  { op: 'CREATE', name: 'creatable', flags: 0o100301, mode: 0o100600, umask: 0o27 },
  { op: 'MKDIR', name: 'made', mode: 0o750, umask: 0o27 },
  { op: 'MKNOD', name: 'made', mode: 0o020640, rdev: 0x103, umask: 0o27 },
  { op: 'SYMLINK', name: 'made', target: 'the/target' },
  { op: 'LINK', name: 'made', oldNodeid: 0xfedcba9876543202n },
  { op: 'RENAME', name: 'file', newName: 'renamed', newdir: 1n, flags: 0 },
  { op: 'RENAME2', name: 'file', newName: 'renamed', newdir: 1n, flags: 1 },
  { op: 'UNLINK', name: 'file' },
  { op: 'RMDIR', name: 'removed' },
  { op: 'SETATTR', valid: 1, mode: 0o100600 },
  { op: 'SETATTR', valid: 6, uid: 1001, gid: 1002 },
  { op: 'SETATTR', size: 5_000_000_000n },
  { op: 'SETATTR', valid: 0x30, atime: -1n, atimeNsec: 0, mtime: 1_618_579_413n, mtimeNsec: 123_456_789 },
  { op: 'OPEN', flags: 0o100002 },
  { op: 'READ', offset: 0n, size: 4096 },
  { op: 'WRITE', offset: 4096n, data: Buffer.from('twelve bytes'), flags: 0o100002 },
  { op: 'FSYNC', fsyncFlags: 0 },
  { op: 'FALLOCATE', offset: 8192n, length: 100n, mode: 0 },
  { op: 'LSEEK', offset: 3n, whence: 4 },
  { op: 'SETLK', start: 100n, end: 109n, type: 1, lkFlags: 0 },
  { op: 'SETLK', type: 1, lkFlags: 1 },
  { op: 'SETLKW', start: 0n, end: 0x7fffffffffffffffn, type: 0 },
  { op: 'GETLK', type: 1 },
  { op: 'IOCTL', cmd: 0x80086601, outSize: 4 },
  { op: 'POLL' },
  { op: 'FSYNCDIR', fsyncFlags: 0 },
  { op: 'FLUSH' },
  { op: 'RELEASE' },
  { op: 'RELEASEDIR' },
  { op: 'INTERRUPT' },
]

/** Which of these the kernel sends depends on its version. */
const OF_NEWER_KERNELS: readonly Request['op'][] = ['TMPFILE', 'STATX', 'COPY_FILE_RANGE_64']

function decoded(exchanges: readonly Exchange[]): readonly Request[] {
  return exchanges.map(({ request }) => decodeRequest(Buffer.from(request, 'hex')))
}

/** Checks what must hold of every session with fuse-traffic-client.py, by what is known of client and server. */
function check(exchanges: readonly Exchange[]): void {
  const requests = decoded(exchanges)
  checkExpected(requests)
  checkInit(requests)
  checkUniques(requests)
  checkNodes(exchanges, requests)
  checkForgotten(requests)
}

function checkExpected(requests: readonly Request[]): void {
  const missing = EXPECTED.filter((expected) => !requests.some((request) => isLike(request, expected)))
  assert.deepEqual(missing, [])
  const readOn = requests.some((request) => (request.op === 'READDIR' || request.op === 'READDIRPLUS') && request.offset > 1n)
  assert.ok(readOn, 'a directory is read on from where it was left')
}

function isLike(request: Request, expected: Partial<Record<string, unknown>>): boolean {
  const fields: Partial<Record<string, unknown>> = { ...request }
  return Object.entries(expected).every(([key, value]) => {
    const found = fields[key]
    return Buffer.isBuffer(value) ? Buffer.isBuffer(found) && found.equals(value) : found === value
  })
}

function checkInit([first, ...rest]: readonly Request[]): void {
  assert.ok(first?.op === 'INIT')
  assert.ok(first.minor >= PROTOCOL.oldestMinor)
  assert.equal(first.flags & INIT.PARALLEL_DIROPS, INIT.PARALLEL_DIROPS)
  assert.equal((first.flags & INIT.HAS_RESEND) !== 0n, first.minor >= 40)
  assert.ok(first.maxReadahead > 0)
  assert.ok(!rest.some(({ op }) => op === 'INIT'))
}

/** Each request has a number of its own; one that is sent again keeps it, and an interrupt names one that is there. */
function checkUniques(requests: readonly Request[]): void {
  const seen = new Set<bigint>()
  for (const request of requests) {
    const { op, header } = request
    if (isResent(header.unique)) assert.ok(seen.has(header.unique & ~(1n << 63n)), `${op} was sent before`)
    else assert.ok(!seen.has(header.unique), `${op} has a new unique`)
    seen.add(header.unique)
    if (request.op === 'INTERRUPT') assert.ok(seen.has(request.target))
  }
  assert.equal(requests.filter(({ header }) => isResent(header.unique)).length, 1)
}

/** The kernel hands back the nodeids and handles that it was given, all 64 bits of them. */
function checkNodes(exchanges: readonly Exchange[], requests: readonly Request[]): void {
  const known = new Set<bigint>([0n, ROOT_NODE])
  requests.forEach((request, index) => {
    const { nodeid } = request.header
    assert.ok(known.has(nodeid), `${request.op} of a known node, not of ${nodeid.toString(16)}`)
    if ('fh' in request && request.fh !== 0n) assert.equal(request.fh, handleOf(nodeid), request.op)
    for (const given of nodeidsIn(request.op, exchanges[index]?.reply ?? '')) known.add(given)
  })
}

/** The nodes that a reply names, found without the code under test. */
function nodeidsIn(op: Request['op'], reply: string): readonly bigint[] {
  const bytes = Buffer.from(reply, 'hex')
  if (bytes.length === 16) return []
  if (op === 'LOOKUP' || op === 'CREATE') return [bytes.readBigUInt64LE(16)]
  if (op !== 'READDIRPLUS') return []
  const found: bigint[] = []
  for (let at = 16; at < bytes.length; at += 152 + Math.ceil(bytes.readUInt32LE(at + 144) / 8) * 8)
    found.push(bytes.readBigUInt64LE(at))
  return found
}

function checkForgotten(requests: readonly Request[]): void {
  const forgotten = requests.flatMap((request) => {
    if (request.op === 'FORGET') return [{ nodeid: request.header.nodeid, nlookup: request.nlookup }]
    return request.op === 'BATCH_FORGET' ? request.forgets : []
  })
  for (const nodeid of REMOVED_NODES) {
    assert.deepEqual(
      forgotten.filter((one) => one.nodeid === nodeid),
      [{ nodeid, nlookup: 1n }],
    )
  }
}

describe('traffic recorded from a kernel', () => {
  it('is there', () => {
    assert.ok(RECORDINGS.length > 0)
  })

  for (const file of RECORDINGS) {
    const { kernel, exchanges } = JSON.parse(readFileSync(file, 'utf8')) as Traffic
    describe(`${basename(file)}, of Linux ${kernel}`, () => {
      it('is decoded into the fields that stand beside it', () => {
        exchanges.forEach(({ op, fields }, index) => {
          const [request] = decoded(exchanges.slice(index, index + 1))
          assert.ok(request !== undefined)
          assert.deepEqual(annotate(request), { op, fields })
        })
      })

      it('holds what the client did, nodes and handles as they were given, and what was forgotten', () => {
        check(exchanges)
      })

      it('is answered with the very bytes that the kernel took', () => {
        const writer = new Writer(65_536)
        for (const { op, request, reply } of exchanges) {
          const action = answer(decodeRequest(Buffer.from(request, 'hex')), writer)
          const silent = action === 'hold' || action === 'none'
          assert.equal(silent ? null : writer.buffer.toString('hex', 0, writer.length), reply, op)
        }
      })
    })
  }

  it('has every request that this kernel can be made to send without a block device, DAX or CUSE', () => {
    const latest = RECORDINGS.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Traffic).at(-1)
    const seen = new Set(latest?.exchanges.map(({ op }) => op))
    const expected = [...EXPECTED.map(({ op }) => op), ...OF_NEWER_KERNELS, 'GETATTR', 'READDIR', 'BATCH_FORGET'] as const
    assert.deepEqual(
      expected.filter((op) => !seen.has(op)),
      [],
    )
  })
})

describe('this kernel', () => {
  it('understands every reply, and all that it sends is decoded', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('traffic')
    const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private']
    const { status, stdout, stderr } = await sandbox.run('unshare', [...namespaces, process.execPath, RECORDER, folder])
    assert.equal(status, 0, stderr)
    const { exchanges } = JSON.parse(readFileSync(join(folder, 'traffic.json'), 'utf8')) as Traffic
    check(exchanges)
    const results = JSON.parse(stdout) as Results
    checkResults(results)
    // Linux 6.6 and newer ask; others know no time of birth.
    const asked = exchanges.some(({ op }) => op === 'STATX')
    assert.deepEqual(results.birth, [0, asked ? '1234567890\n' : '0\n', ''])
  })
})

type Results = Readonly<Record<string, unknown>> & { readonly ls: readonly [number, string, string] }

/** What the client saw of the replies. */
function checkResults({ ls, birth: _, ...results }: Results): void {
  const lines = ls[1].split('\n').filter((line) => !/^total|\.\.?$/.test(line))
  assert.deepEqual(
    lines.filter((line) => line !== '').map((line) => line.replaceAll(/\s+/g, ' ')),
    [
      '-rw-r--r-- 1 1000 1001 13 Apr 16 2021 file',
      '-rw-r--r-- 1 1000 1001 10 Apr 16 2021 held',
      'lrwxrwxrwx 1 1000 1001 10 Apr 16 2021 link -> the/target',
      'drwxr-xr-x 1 1000 1001 40 Apr 16 2021 many',
      'drwxr-xr-x 1 1000 1001 3 Apr 16 2021 removed',
      '-rw-r--r-- 1 1000 1001 24 Apr 16 2021 resent',
    ],
  )
  const { tmpfile, ...others } = results
  assert.match(String(tmpfile), /^(EROFS|EOPNOTSUPP)$/)
  assert.deepEqual(others, {
    'ls-many': MANY_NAMES,
    'ls-many-again': MANY_NAMES,
    cat: [0, GREETING, ''],
    stat: [0, '13 1 512 644 1 1000 1001 18364758544493064706 1618579413\n', ''],
    'stat -f': [0, '8192 4096 1000 300 200 50 40 200\n', ''],
    touch: [1, '', "touch: cannot touch 'created': Read-only file system\n"],
    missing: 'ENOENT',
    readlink: 'the/target',
    access: true,
    listxattr: ['user.colour'],
    getxattr: 'red',
    'getxattr missing': 'ENODATA',
    setxattr: 'EROFS',
    removexattr: 'EROFS',
    mkdir: 'EROFS',
    mknod: 'EROFS',
    symlink: 'EROFS',
    link: 'EROFS',
    rename: 'EROFS',
    renameat2: 'EROFS',
    unlink: 'EROFS',
    chmod: 'EROFS',
    chown: 'EROFS',
    truncate: 'EROFS',
    utime: 'EROFS',
    pread: 'world',
    mmap: 'Hello',
    fstat: 13,
    write: 12,
    fsync: 'done',
    fallocate: 'EROFS',
    hole: 13,
    copy: 3,
    setlk: 'done',
    create: 'done',
    getlk: [0, 0, 5, 4, 1],
    setlkw: 'done',
    flock: 'done',
    ioctl: 'imut',
    poll: 1,
    fsyncdir: 'done',
    rmdir: 'done',
    interrupted: -2,
    resent: 'read at the second time\n',
  })
}
