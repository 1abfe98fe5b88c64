import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { CellEvent } from '../../src/lab/matrix/lab-record.ts'
import { escape, html } from '../../src/lab/report/html.ts'
import { count, cut, duration, listed, moment, visible } from '../../src/lab/report/text.ts'
import { marksOf, pathOf, runsOf, scaleTo } from '../../src/lab/report/timeline.ts'

describe("the report's markup", () => {
  it('escapes every value, in texts and in attributes, and nothing twice', () => {
    const bad = `<b title='"'>&</b>`
    assert.equal(
      html`<i title="${bad}">${bad}${html`<u>${'<'}</u>`}</i>`.text,
      '<i title="&#60;b title=&#39;&#34;&#39;&#62;&#38;&#60;/b&#62;">&#60;b title=&#39;&#34;&#39;&#62;&#38;&#60;/b&#62;<u>&#60;</u></i>',
    )
  })

  it('joins lists, and leaves out what is not there', () => {
    assert.equal(html`${['a', html`<b>1</b>`, [2, undefined], false]}`.text, 'a<b>1</b>2')
  })

  it('leaves no character that ends a text or an attribute, whatever it is given', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.doesNotMatch(escape(text), /[<>"']|&(?!#\d+;)|[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/)
      }),
    )
  })
})

describe("the report's words", () => {
  it('show characters that have no shape, and leave the others as they are', () => {
    assert.equal(
      visible('tab\tline\n\u0000\u001b[0m\r\u007f\u0085\u202e\ud800x\ufeff'),
      'tab\tline\n␀␛[0m␍␡<U+0085><U+202E><U+D800>x<U+FEFF>',
    )
    assert.equal(visible('ünïcode 漢字 😀'), 'ünïcode 漢字 😀')
  })

  it('cut long texts and say by how much', () => {
    assert.equal(cut('abcdef', 6), 'abcdef')
    assert.equal(cut('abcdefg', 6), 'abcdef … (1 more character)')
    assert.equal(cut('x'.repeat(3000), 10), 'xxxxxxxxxx … (2,990 more characters)')
  })

  for (const [ms, words] of [
    [0, '0 ms'],
    [0.42, '0.4 ms'],
    [17.6, '18 ms'],
    [999.6, '1 s'],
    [1250, '1.25 s'],
    [59_999, '60 s'],
    [200_000, '3 min 20 s'],
    [119_800, '2 min'],
  ] as const) {
    it(`tell ${ms} ms as ${words}`, () => {
      assert.equal(duration(ms), words)
    })
  }

  it('count and list', () => {
    assert.equal(count(1, 'read'), '1 read')
    assert.equal(count(1_234_567, 'read'), '1,234,567 reads')
    assert.equal(moment(1250.4), '1.250 s')
    assert.deepEqual(
      [listed([]), listed(['a']), listed(['a', 'b']), listed(['a', 'b', 'c'], 'or')],
      ['', 'a', 'a and b', 'a, b or c'],
    )
  })
})

describe('the scale of a timeline', () => {
  for (const [end, labels] of [
    [0, ['0', '0.2 ms', '0.4 ms', '0.6 ms', '0.8 ms', '1 ms']],
    [90, ['0', '20 ms', '40 ms', '60 ms', '80 ms']],
    [1900, ['0', '500 ms', '1000 ms', '1500 ms']],
    [2600, ['0', '0.5 s', '1.0 s', '1.5 s', '2.0 s', '2.5 s']],
    [5200, ['0', '1 s', '2 s', '3 s', '4 s', '5 s']],
    [61_000, ['0', '20 s', '40 s', '60 s']],
  ] as const) {
    it(`to ${end} ms is marked at ${labels.join(', ')}`, () => {
      assert.deepEqual(
        scaleTo(end).ticks.map(({ label }) => label),
        labels,
      )
    })
  }

  it('keeps what lies outside at its ends', () => {
    const scale = scaleTo(1000)
    assert.deepEqual([scale.at(-5), scale.at(250), scale.at(2000)], [0, 250, 1000])
    assert.deepEqual([scale.percent(-5), scale.percent(123.456), scale.percent(2000)], ['0%', '12.35%', '100%'])
  })
})

describe('the marks of a lane', () => {
  const read = (atMs: number, until?: number): CellEvent => ({
    atMs,
    lane: 'a',
    kind: 'right',
    text: '',
    ...(until !== undefined && { until }),
  })

  it('are as long as what they stand for, and never too narrow to be seen', () => {
    assert.deepEqual(marksOf([read(100, 300), read(700)], scaleTo(1000)), [
      [100, 300],
      [700, 703],
    ])
    assert.deepEqual(marksOf([read(1000)], scaleTo(1000)), [[997, 1000]])
  })

  it('run together where they touch, so that any number of reads are a few hundred marks', () => {
    const many = Array.from({ length: 100_000 }, (_, index) => read(index / 100))
    assert.deepEqual(marksOf(many, scaleTo(1000)), [[0, 1000]])
    const sparse = Array.from({ length: 100_000 }, (_, index) => read(Math.floor(index / 1000) * 10))
    assert.equal(marksOf(sparse, scaleTo(1000)).length, 100)
  })

  it('are drawn as closed boxes', () => {
    assert.equal(
      pathOf(
        [
          [1, 4],
          [10, 20],
        ],
        3,
        18,
      ),
      'M1 3h3v18h-3zM10 3h10v18h-10z',
    )
  })
})

describe('the timeline in words', () => {
  it('takes reads of one kind together until another thing happens to that consumer', () => {
    const event = (atMs: number, lane: string, kind: CellEvent['kind'], text = '', more: Partial<CellEvent> = {}): CellEvent => ({
      atMs,
      lane,
      kind,
      text,
      ...more,
    })
    assert.deepEqual(
      runsOf([
        event(1, 'a', 'right', '', { until: 5, count: 3 }),
        event(2, 'b', 'right'),
        event(6, 'a', 'right', '', { until: 9, count: 2 }),
        event(7, 'b', 'error', 'ENOTCONN'),
        event(8, 'b', 'error', 'ENOTCONN', { until: 12, count: 40 }),
        event(13, 'b', 'log', 'one'),
        event(14, 'b', 'log', 'two'),
      ]).map(({ lane, kind, fromMs, toMs, count: times, text }) => [lane, kind, fromMs, toMs, times, text]),
      [
        ['a', 'right', 1, 9, 5, ''],
        ['b', 'right', 2, 2, 1, ''],
        ['b', 'error', 7, 12, 41, 'ENOTCONN'],
        ['b', 'log', 13, 13, 1, 'one'],
        ['b', 'log', 14, 14, 1, 'two'],
      ],
    )
  })
})
