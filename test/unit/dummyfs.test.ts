import assert from 'node:assert/strict'
import { constants } from 'node:fs'
import { describe, it } from 'node:test'
import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import { type NodeId, ROOT_ID } from '../../src/fuse/filesystem.ts'

const FILE = 2n as NodeId
const UNKNOWN = 3n as NodeId
const fs = new DummyFs()

function text(offset: number, size: number): string {
  const bytes = fs.read(FILE, offset, size)
  assert.ok(bytes instanceof Uint8Array)
  return Buffer.from(bytes).toString()
}

describe('DummyFs', () => {
  it('has the same node ids in every process, so that a successor can go on', () => {
    assert.equal(fs.lookup(ROOT_ID, 'dummy-file.txt')?.nodeid, FILE)
    assert.deepEqual(new DummyFs().lookup(ROOT_ID, 'dummy-file.txt'), fs.getattr(FILE))
  })

  it('finds nothing by another name', () => {
    for (const name of ['nope', 'dummy-file.tx', 'dummy-file.txt2', '']) assert.equal(fs.lookup(ROOT_ID, name), undefined)
  })

  it('has a root directory and a file as the original', () => {
    const { mode, nlink, size, blocks, mtime } = fs.getattr(ROOT_ID)
    assert.deepEqual([mode, nlink, size, blocks, mtime], [0o040755, 2, 0, 0, 0])
    const file = fs.getattr(FILE)
    assert.deepEqual([file.mode, file.nlink, file.size, file.blocks, file.mtime], [0o100444, 1, 13, 0, 0])
  })

  it('lists itself, its parent and the file, with the attributes that lookup gives', () => {
    const entries = fs.readdir(ROOT_ID)
    assert.deepEqual(
      entries.map(({ name }) => name),
      ['.', '..', 'dummy-file.txt'],
    )
    assert.deepEqual(entries[2]?.attributes, fs.getattr(FILE))
  })

  it('reads every range as the 13 bytes have it', () => {
    const whole = 'Hello world!\n'
    for (let offset = 0; offset <= 20; offset++)
      for (let size = 0; size <= 20; size++) assert.equal(text(offset, size), whole.slice(offset, offset + size))
  })

  it('does not let a reader change what others read', () => {
    const bytes = fs.read(FILE, 0, 13)
    assert.ok(bytes instanceof Uint8Array)
    assert.equal(text(0, 5), 'Hello')
  })

  const failures: Readonly<Record<string, readonly [act: () => unknown, code: string]>> = {
    'lookup in the file': [() => fs.lookup(FILE, 'x'), 'ENOTDIR'],
    'lookup in an unknown node': [() => fs.lookup(UNKNOWN, 'x'), 'ESTALE'],
    'getattr of an unknown node': [() => fs.getattr(UNKNOWN), 'ESTALE'],
    'readdir of the file': [() => fs.readdir(FILE), 'ENOTDIR'],
    'readdir of an unknown node': [() => fs.readdir(UNKNOWN), 'ESTALE'],
    'read of the root': [() => fs.read(ROOT_ID, 0, 1), 'EISDIR'],
    'read of an unknown node': [() => fs.read(UNKNOWN, 0, 1), 'ESTALE'],
    'open of an unknown node': [
      () => {
        fs.open(UNKNOWN, constants.O_RDONLY)
      },
      'ESTALE',
    ],
    'open for writing': [
      () => {
        fs.open(FILE, constants.O_WRONLY)
      },
      'EROFS',
    ],
    'open for both': [
      () => {
        fs.open(FILE, constants.O_RDWR)
      },
      'EROFS',
    ],
    'open that truncates': [
      () => {
        fs.open(FILE, constants.O_TRUNC)
      },
      'EROFS',
    ],
    'open that appends': [
      () => {
        fs.open(FILE, constants.O_APPEND)
      },
      'EROFS',
    ],
  }
  for (const [title, [act, code]] of Object.entries(failures)) {
    it(`fails with ${code}: ${title}`, () => {
      assert.throws(act, { name: 'FileSystemError', code })
    })
  }

  it('opens for reading with the flags that ask for no change', () => {
    for (const flags of [constants.O_RDONLY, constants.O_DIRECT, constants.O_NONBLOCK | constants.O_NOATIME, constants.O_SYNC])
      assert.doesNotThrow(() => {
        fs.open(FILE, flags)
      })
  })
})
