import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { oneLine, printable } from '../../src/printable.ts'
import { visible } from '../../src/lab/report/text.ts'

const HOSTILE: readonly (readonly [text: string, shown: string])[] = [
  ['a\nb', 'a\\nb'],
  ['a\tb\rc', 'a\\tb\\rc'],
  ['\u001b[31mred\u001b[0m', '\\u001b[31mred\\u001b[0m'],
  ['\u009b31m', '\\u009b31m'],
  ['\u007f\0\u0007\u0008', '\\u007f\\u0000\\u0007\\u0008'],
  ['\u2028\u2029\u0085', '\\u2028\\u2029\\u0085'],
  ['\u202ereversed\u2066\u200f', '\\u202ereversed\\u2066\\u200f'],
  ['\ufeff\u200b', '\\ufeff\\u200b'],
  ['\ud800x', '\\ud800x'],
  ['\u{e0041}', '\\udb40\\udc41'],
  ['Ünï ✓ 漢字 👩‍👧 \\n "', 'Ünï ✓ 漢字 👩‍👧 \\n "'],
]

describe('oneLine', () => {
  for (const [text, shown] of HOSTILE) {
    it(`shows ${JSON.stringify(shown)}`, () => {
      assert.equal(oneLine(text), shown)
      assert.equal(oneLine(shown), shown)
    })
  }

  it('leaves JSON what it is', () => {
    const value = HOSTILE.map(([text]) => text)
    assert.deepEqual(JSON.parse(oneLine(JSON.stringify(value))), value)
    assert.deepEqual(JSON.parse(printable(JSON.stringify(value, null, 2))), value)
  })
})

describe('printable', () => {
  it('keeps line feeds and tabs, and nothing else that a terminal obeys', () => {
    assert.equal(printable('a\n\tb\r\u001b[2Jc'), 'a\n\tb\\r\\u001b[2Jc')
  })
})

describe('visible', () => {
  it('takes the same characters for unprintable', () => {
    for (const [text, shown] of HOSTILE.slice(2)) assert.equal(visible(text) === text, shown === text, JSON.stringify(text))
  })
})
