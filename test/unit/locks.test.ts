import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VolumeError } from '../../src/volumes/errors.ts'
import { VolumeLocks } from '../../src/volumes/locks.ts'

function busy(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof VolumeError && error.kind === 'busy' && message.test(error.message)
}

describe('VolumeLocks', () => {
  it('refuses a second operation of a volume and names the first', () => {
    const locks = new VolumeLocks()
    using _ = locks.take('v', 'NodeStageVolume', '/a')
    assert.throws(
      () => locks.take('v', 'NodePublishVolume'),
      busy(/^NodeStageVolume of volume v is still under way; call NodePublishVolume/),
    )
  })

  it('refuses an operation at a path that another volume is busy at, and has taken nothing then', () => {
    const locks = new VolumeLocks()
    const first = locks.take('v', 'NodeStageVolume', '/a', '/b')
    assert.throws(() => locks.take('w', 'NodeStageVolume', '/c', '/b'), busy(/^NodeStageVolume of volume v/))
    using _free = locks.take('x', 'NodeStageVolume', '/c')
    first[Symbol.dispose]()
    using _again = locks.take('w', 'NodeStageVolume', '/b')
  })

  it('takes a volume’s id and a path of the same letters for two things', () => {
    const locks = new VolumeLocks()
    using _volume = locks.take('/a', 'NodeStageVolume')
    using _path = locks.take('v', 'NodeStageVolume', '/a')
    assert.throws(() => locks.take('/a', 'NodeStageVolume'), busy(/volume \/a/))
  })

  it('gives back what an operation that failed had taken', () => {
    const locks = new VolumeLocks()
    assert.throws(() => {
      using _ = locks.take('v', 'NodeStageVolume', '/a')
      throw new Error('failed')
    }, /failed/)
    using _ = locks.take('v', 'NodeStageVolume', '/a')
  })
})
