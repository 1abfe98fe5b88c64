import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import { UsageError } from '../../src/errors.ts'
import type { NodeId } from '../../src/fuse/filesystem.ts'
import { parseFaults, slowReads } from '../../src/programs/dummy-fuse/faults.ts'

const NONE = { mountDelay: 0, mountFail: false, readDelay: 0, initHang: false }

describe('parseFaults', () => {
  it('is none of them for no values', () => {
    assert.deepEqual(parseFaults([]), NONE)
  })

  it('joins several, the later of two winning', () => {
    const values = ['mount-delay=2', 'read-delay=0.25', 'mount-fail', 'init-hang', 'mount-delay=3']
    assert.deepEqual(parseFaults(values), { mountDelay: 3, mountFail: true, readDelay: 0.25, initHang: true })
  })

  for (const value of [
    '',
    'mount-delay',
    'mount-delay=',
    'mount-delay=-1',
    'mount-delay=1s',
    'read-delay=1e3',
    'read-delay=9999999',
    'mount-fail=1',
    'INIT-HANG',
  ]) {
    it(`throws at '${value}' and lists what there is`, () => {
      assert.throws(
        () => parseFaults([value]),
        (error) => error instanceof UsageError && error.message.includes('mount-delay=S, mount-fail, read-delay=S, init-hang'),
      )
    })
  }
})

describe('slowReads', () => {
  const fs = new DummyFs()

  it('leaves a file system without delay as it is', () => {
    assert.equal(slowReads(fs, 0), fs)
  })

  it('gives the same bytes, later, and everything else at once', async () => {
    const slow = slowReads(fs, 0.01)
    const read = slow.read(2n as NodeId, 6, 5)
    assert.ok(read instanceof Promise)
    assert.equal(Buffer.from(await read).toString(), 'world')
    assert.deepEqual(slow.getattr(2n as NodeId), fs.getattr(2n as NodeId))
    assert.deepEqual(slow.statfs(), fs.statfs())
    assert.throws(
      () => {
        slow.open(2n as NodeId, 1)
      },
      { code: 'EROFS' },
    )
  })
})
