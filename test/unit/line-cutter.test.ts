import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LineCutter } from '../../src/line-cutter.ts'

const TEXT = 'one\n\nzwölf €\n𝄞\nend'
const LINES = ['one', '', 'zwölf €', '𝄞', 'end']

describe('LineCutter', () => {
  it('gives the same lines wherever the pieces end, bytes of one character apart too', () => {
    const bytes = Buffer.from(TEXT)
    for (let size = 1; size <= bytes.length; size++) {
      const cutter = new LineCutter()
      const lines: string[] = []
      for (let at = 0; at < bytes.length; at += size) lines.push(...cutter.push(bytes.subarray(at, at + size)))
      assert.equal(cutter.rest, 'end')
      assert.deepEqual([...lines, ...cutter.end()], LINES, `pieces of ${size} bytes`)
    }
  })

  it('takes text as well, and has no last line after a line feed', () => {
    const cutter = new LineCutter()
    assert.deepEqual(cutter.push('one\ntw'), ['one'])
    assert.deepEqual(cutter.push('o\n'), ['two'])
    assert.deepEqual(cutter.end(), [])
  })

  it('shows a replacement character where a character stays incomplete', () => {
    const cutter = new LineCutter()
    assert.deepEqual(cutter.push(Buffer.from([0x61, 0xe2, 0x82])), [])
    assert.deepEqual(cutter.end(), ['a\ufffd'])
    assert.deepEqual(cutter.end(), [])
  })
})
