import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { fileNameFor } from '../../src/volumes/mount-cache-file-name.ts'

const anything = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.constantFrom('', '.', '..', '/', '../../etc/passwd', 'a\0b', '\n'),
)

describe('fileNameFor', () => {
  it('is one harmless name, short enough for a half-written copy’s ending, whatever it is made of', () => {
    fc.assert(
      fc.property(anything, fc.array(anything), (readable, rest) => {
        assert.match(fileNameFor(readable, ...rest), /^[A-Za-z0-9_-]{21,61}\.json$/)
      }),
    )
  })

  it('is the same for the same, and another for others, however they are cut into parts', () => {
    fc.assert(
      fc.property(fc.array(anything, { minLength: 1 }), fc.array(anything, { minLength: 1 }), (a, b) => {
        const [first = '', ...rest] = a
        const [other = '', ...others] = b
        const same = JSON.stringify(a) === JSON.stringify(b)
        assert.equal(fileNameFor(first, ...rest) === fileNameFor(other, ...others), same)
      }),
    )
    assert.notEqual(fileNameFor('a', 'b'), fileNameFor('ab'))
    assert.notEqual(fileNameFor('a/b'), fileNameFor('a_b'))
  })

  it('keeps the letters for people', () => {
    assert.match(fileNameFor('dummy-fuse-volume', '/path'), /^dummy-fuse-volume-[0-9a-f]{20}\.json$/)
  })
})
