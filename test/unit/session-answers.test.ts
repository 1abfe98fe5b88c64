import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import { type FileSystem, FileSystemError } from '../../src/fuse/filesystem.ts'
import { REPLY_SIZE } from '../../src/fuse/session/handshake.ts'
import { bytesOf, getattr, interrupt, reading } from '../support/fake-device.ts'
import { FILE, SlowFs, startSession } from '../support/faked-session.ts'

const { EINTR, EIO, ENODEV, ENOENT } = constants.errno

describe('a session whose file system fails', () => {
  const broken = (act: () => never): FileSystem => Object.assign(new DummyFs(), { getattr: act, read: act })
  const CASES: readonly (readonly [title: string, act: () => never, errno: number, warns: boolean])[] = [
    [
      'with an errno of its own',
      () => {
        throw new FileSystemError('EIO')
      },
      EIO,
      false,
    ],
    [
      'with a bug',
      () => {
        throw new TypeError('x is not a function')
      },
      EIO,
      true,
    ],
    [
      'with what is no error',
      () => {
        throw 'a text' as unknown as Error
      },
      EIO,
      true,
    ],
  ]
  for (const [title, act, errno, warns] of CASES) {
    it(`answers that request with it, and goes on: ${title}`, () => {
      const { device, told, serve } = startSession({ filesystem: broken(act) })
      serve(getattr(1n, 1n), reading('READ', 2n, FILE, FILE), bytesOf('STATFS', 3n))
      assert.deepEqual(
        device.replies.map((one) => [one.unique, one.errno]),
        [
          [1n, errno],
          [2n, errno],
          [3n, 0],
        ],
      )
      assert.equal(told.filter((line) => line.startsWith('warning: the file system failed: ')).length, warns ? 2 : 0)
    })
  }

  it('answers EIO when it gives more than a reply can hold, at once or later', async () => {
    const huge = Buffer.alloc(REPLY_SIZE + 1)
    const now = startSession({ filesystem: Object.assign(new DummyFs(), { read: () => huge }) })
    now.serve(reading('READ', 1n, FILE, FILE))
    assert.deepEqual(
      now.device.replies.map(({ errno }) => errno),
      [EIO],
    )
    const slow = new SlowFs()
    const later = startSession({ filesystem: slow })
    later.serve(reading('READ', 1n, FILE, FILE))
    slow.waiting[0]?.resolve(huge)
    await setImmediate()
    assert.deepEqual(
      later.device.replies.map(({ errno }) => errno),
      [EIO],
    )
    assert.equal(later.session.pending, 0)
    later.serve(getattr(2n, 1n))
    assert.equal(later.device.replies.at(-1)?.errno, 0)
  })
})

describe('a session whose file system takes its time', () => {
  it('serves others meanwhile, and answers each by its own unique, in whatever order', async () => {
    const slow = new SlowFs()
    const { device, session, shared, serve } = startSession({ filesystem: slow })
    serve(reading('READ', 1n, FILE, FILE), reading('READ', 2n, FILE, FILE), getattr(3n, 1n))
    assert.deepEqual([device.replies.map(({ unique }) => unique), session.pending, shared.awaited], [[3n], 2, 2])
    slow.waiting[1]?.resolve(Buffer.from('two'))
    await setImmediate()
    slow.waiting[0]?.reject(new FileSystemError('ENOENT'))
    await setImmediate()
    assert.deepEqual(
      device.replies.slice(1).map(({ unique, errno, body }) => [unique, errno, body.toString()]),
      [
        [2n, 0, 'two'],
        [1n, ENOENT, ''],
      ],
    )
    assert.deepEqual([session.pending, shared.awaited], [0, 0])
  })

  it('answers EIO, with a warning, when it fails later', async () => {
    const slow = new SlowFs()
    const { device, told, serve } = startSession({ filesystem: slow })
    serve(reading('READ', 1n, FILE, FILE))
    slow.waiting[0]?.reject(new Error('disk on fire'))
    await setImmediate()
    assert.deepEqual([device.replies[0]?.errno, told], [EIO, ['warning: the file system failed: disk on fire']])
  })

  it('answers EINTR to an interrupted request at once, and writes its late answer no more', async () => {
    const slow = new SlowFs()
    const { device, session, shared, serve } = startSession({ filesystem: slow })
    serve(reading('READ', 1n, FILE, FILE), interrupt(2n, 1n), interrupt(3n, 1n))
    assert.deepEqual(
      device.replies.map(({ unique, errno }) => [unique, errno]),
      [[1n, EINTR]],
    )
    slow.waiting[0]?.resolve(Buffer.from('late'))
    await setImmediate()
    assert.deepEqual([device.replies.length, session.pending, shared.awaited], [1, 0, 0])
  })

  it('takes an interrupt of what it does not know, or has answered, for nothing', () => {
    const { device, told, serve } = startSession()
    serve(getattr(1n, 1n), interrupt(2n, 1n), interrupt(3n, 99n))
    assert.deepEqual([device.replies.length, told], [1, []])
  })

  it('writes nothing for a connection that is gone or given up', async () => {
    for (const end of ['gone', 'given up'] as const) {
      const slow = new SlowFs()
      const { device, session, shared, serve } = startSession({ filesystem: slow })
      serve(reading('READ', 1n, FILE, FILE))
      if (end === 'gone') serve(ENODEV)
      else session.abandon()
      slow.waiting[0]?.resolve(Buffer.from('late'))
      await setImmediate()
      assert.deepEqual([device.replies, shared.awaited], [[], 0])
    }
  })
})
