import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VolumeError } from '../../src/volumes/errors.ts'
import { Failures, type MountPlace } from '../../src/volumes/failures.ts'

const STAGED = { volumeId: 'v', staging: '/staging' } as const
const ONE = { ...STAGED, target: '/one' } as const
const OTHER = { ...STAGED, target: '/other' } as const

async function fail(failures: Failures, place: MountPlace, error: Error = new Error('no storage')): Promise<void> {
  await assert.rejects(failures.watch(place, () => Promise.reject(error)))
}

/** The paths of the failures of a volume. */
function paths(failures: Failures, volumeId = 'v'): readonly string[] {
  return failures.of(volumeId).map(({ staging, target }) => target ?? staging)
}

describe('Failures', () => {
  it('are kept for each path, the last with its message', async () => {
    const failures = new Failures()
    for (const place of [STAGED, ONE, OTHER, { ...ONE, volumeId: 'w' }]) await fail(failures, place)
    await fail(failures, ONE, new Error('no daemon'))
    assert.deepEqual(paths(failures), ['/staging', '/other', '/one'])
    assert.equal(failures.of('v').at(-1)?.message, 'no daemon')
    assert.deepEqual(paths(failures, 'w'), ['/one'])
  })

  it('end when a call for the path succeeds, that of a staging path also when a target is bound from it', async () => {
    const failures = new Failures()
    for (const place of [STAGED, ONE, OTHER]) await fail(failures, place)
    assert.equal(await failures.watch(ONE, () => Promise.resolve('bound')), 'bound')
    assert.deepEqual(paths(failures), ['/other'])
    await failures.watch(STAGED, () => Promise.resolve())
    assert.deepEqual(paths(failures), ['/other'])
  })

  it('end when the path is unpublished, and those of all its targets when it is unstaged', async () => {
    const failures = new Failures()
    for (const place of [STAGED, ONE, OTHER, { ...ONE, volumeId: 'w' }]) await fail(failures, place)
    failures.unpublished('v', '/one')
    assert.deepEqual(paths(failures), ['/staging', '/other'])
    failures.unstaged('v', '/staging')
    assert.deepEqual([paths(failures), paths(failures, 'w')], [[], ['/one']])
  })

  it('are none of a call whose request was wrong, and at most a thousand', async () => {
    const failures = new Failures()
    await fail(failures, ONE, new VolumeError('conflict', 'is another volume’s'))
    assert.deepEqual(paths(failures), [])
    for (let at = 0; at <= 1000; at++) await fail(failures, { ...STAGED, target: `/${at}` })
    assert.deepEqual([paths(failures).length, paths(failures)[0]], [1000, '/1'])
  })
})
