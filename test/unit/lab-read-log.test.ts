import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseLine } from '../../src/lab/consumer/line.ts'
import { countReads, eventsOf, ReadLog, rightAgain } from '../../src/lab/cell/read-log.ts'
import { labConsumer } from '../../src/lab/cell/reader-programs.ts'

const began = (at: number): string => JSON.stringify({ began: at })
const ended = (at: number, saw: string): string => JSON.stringify({ ended: at, saw })

/** What a consumer of the lab has written, in a cell that began at 1000. */
function logOf(...lines: string[]): ReadLog {
  const { follow } = labConsumer({ executable: '/bin/false', args: [], argv0: 'false' }, 1000)
  const log = new ReadLog()
  for (const line of lines) assert.equal(follow({ atMs: 0, line }, log), true, line)
  return log
}

describe("a consumer's line", () => {
  const OTHERS = ['', 'reading', '{', 'null', '[]', '{"began":"now"}', '{"ended":1}', '{"saw":"right"}', '{"wrote":1,"at":2}']
  for (const line of OTHERS) {
    it(`is not '${line}'`, () => {
      assert.equal(parseLine(line), undefined)
    })
  }
})

describe('a log of reads', () => {
  it("has them on the cell's clock", () => {
    const log = logOf(began(1010), ended(1012, 'right'), began(1020), ended(1021, 'ENOTCONN'))
    assert.deepEqual(log.reads(2000), [
      { beganMs: 10, endedMs: 12, saw: 'right' },
      { beganMs: 20, endedMs: 21, saw: 'ENOTCONN' },
    ])
    assert.deepEqual(
      log.ended(15).map(({ saw }) => saw),
      ['ENOTCONN'],
    )
  })

  it('counts a read that is under way only when that takes a second', () => {
    const log = logOf(began(1010), ended(1012, 'right'), began(1020))
    assert.equal(log.underWay, 20)
    assert.equal(log.reads(900).length, 1)
    assert.deepEqual(log.reads(1100).at(-1), { beganMs: 20, endedMs: undefined, saw: '' })
    assert.deepEqual(countReads(log.reads(1100)), { right: 1, wrong: 0, failed: { HUNG: 1 } })
  })

  it('lets a read that its process did not end go', () => {
    const log = logOf(began(1010))
    log.processEnded()
    assert.deepEqual(log.reads(5000), [])
  })

  it('keeps the last file that was written', () => {
    const log = logOf('{"wrote":"/mnt/a","at":1005}', '{"wrote":"/mnt/b","at":1006}')
    assert.deepEqual(log.wrote, { atMs: 6, path: '/mnt/b' })
  })

  it('is shown as runs of the same, and stalls', () => {
    const log = logOf(
      ...[began(1000), ended(1001, 'right'), began(1010), ended(1100, 'right')],
      ...[began(1110), ended(1111, 'EIO'), began(1120), ended(1121, 'EIO'), began(1130), ended(1131, 'right')],
    )
    const events = eventsOf('keeps-open', log.reads(200), 200)
    assert.deepEqual(
      events.map(({ atMs, until, kind, text, count }) => [kind, text, atMs, until, count]),
      [
        ['right', 'right', 0, 100, 2],
        ['error', 'EIO', 110, 121, 2],
        ['right', 'right', 130, 131, 1],
        ['stall', 'a read that waited', 10, 100, undefined],
      ],
    )
  })
})

describe('the read that is right again', () => {
  const again = (...lines: string[]): number | undefined => rightAgain(logOf(...lines).reads(99_000), 100, 99_000)?.endedMs

  it('is the first one after the last that failed, and not one in between', () => {
    const before = [began(1050), ended(1051, 'right'), began(1110), ended(1111, 'ENOTCONN')]
    const flicker = [...before, began(1200), ended(1201, 'right'), began(1300), ended(1301, 'ENOTCONN')]
    assert.equal(again(...flicker), undefined)
    assert.equal(again(...flicker, began(31_000), ended(31_001, 'right'), began(31_100), ended(31_101, 'right')), 30_001)
  })

  it('is the first one that waited where none failed, and otherwise the first that began after the failure', () => {
    const quick = [began(1090), ended(1101, 'right'), began(1110), ended(1111, 'right')]
    assert.equal(again(...quick), 111)
    assert.equal(again(...quick, began(1120), ended(1320, 'right'), began(1330), ended(1331, 'right')), 320)
  })
})
