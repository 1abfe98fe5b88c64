import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { codeOf, errnoMeaning, errnoText, messageOf, ProgramError, SystemError, UsageError } from '../../src/errors.ts'

describe('errors', () => {
  it('a usage error exits with 2', () => {
    const error = new UsageError('what')
    assert.ok(error instanceof ProgramError)
    assert.deepEqual([error.status, error.message], [2, 'what'])
  })

  it('a system error reads as Go prints it', () => {
    const error = new SystemError('umount', 'EBUSY', 16, '/mnt')
    assert.equal(error.message, 'umount /mnt: device or resource busy')
    assert.equal(new SystemError('socket', 'EMFILE', 24).message, 'socket: too many open files')
    assert.deepEqual([codeOf(error), error.errno, error.path], ['EBUSY', 16, '/mnt'])
  })

  it("has strerror(3)'s text in lower case, and the name of a rare one", () => {
    assert.equal(errnoText('ENOTCONN'), 'transport endpoint is not connected')
    assert.equal(errnoText('EL2HLT'), 'EL2HLT')
  })

  it('knows what an errno means for the caller', () => {
    assert.deepEqual(['EMFILE', 'ENOSPC', 'EINTR', 'EROFS', 'ENAMETOOLONG', 'EINVAL', undefined].map(errnoMeaning), [
      'exhausted',
      'exhausted',
      'again',
      'again',
      'caller',
      undefined,
      undefined,
    ])
  })

  it('finds the code of what Node throws, and none where there is none', () => {
    assert.throws(
      () => readFileSync('/nonexistent'),
      (error) => codeOf(error) === 'ENOENT',
    )
    assert.deepEqual([codeOf(new Error('x')), codeOf('x'), codeOf(undefined), codeOf({ code: 'ENOENT' })], Array(4).fill(undefined))
  })

  it('has a line for whatever was thrown', () => {
    assert.deepEqual([messageOf(new Error('a')), messageOf('b'), messageOf(undefined)], ['a', 'b', 'undefined'])
  })
})
