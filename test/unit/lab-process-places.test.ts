import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ProcessPlaces, type Seen } from '../../src/lab/cell/process-places.ts'

/** A process of one command line. Its id tells when it started too. */
function seen(pid: number, parent = 50, args = ['served', '/a']): Seen {
  return { pid, parent, start: String(100 + pid), args }
}

/** A process that runs on when its name changes. */
const RENAMED = 90

/** What each look finds, in words. */
function looks(...all: readonly (readonly Seen[])[]): readonly (readonly string[])[] {
  const places = new ProcessPlaces()
  return all.map((now) =>
    places
      .look(now, ({ pid }) => pid === RENAMED)
      .map(({ kind, pid, by }) => `${kind} ${pid}${by === undefined ? '' : ` by ${by}`}`),
  )
}

describe('the processes of one name', () => {
  it('have not started again when one forks into the background, also if it ends between two looks', () => {
    assert.deepEqual(looks([seen(60)], [seen(60), seen(61, 60)], [seen(61, 1)]), [['start 60'], ['start 61 by 60'], ['end 60']])
    assert.deepEqual(looks([seen(60)], [seen(61, 1)]), [['start 60'], ['end 60', 'start 61 by 60']])
    assert.deepEqual(looks([seen(60), seen(61, 1)], [seen(61, 1)]), [['start 60', 'start 61 by 60'], ['end 60']])
  })

  it('have not started again when one that systemd has started forks into the background, and have when its unit is started again', () => {
    const of = (pid: number, invocation: string): Seen => ({ ...seen(pid, 1), invocation })
    assert.deepEqual(looks([of(60, 'a')], [of(61, 'a')], [of(70, 'b')], [of(71, 'b')]), [
      ['start 60'],
      ['end 60', 'start 61 by 60'],
      ['end 61', 'restart 70'],
      ['end 70', 'start 71 by 70'],
    ])
    assert.deepEqual(looks([seen(60, 1)], [seen(61, 1)]).at(-1), ['end 60', 'restart 61'])
  })

  it('have started again when the place of one that has ended is taken, once for a process and its fork', () => {
    const first = [[seen(60)], [seen(61, 1)]]
    assert.deepEqual(looks(...first, [], [seen(70)], [seen(71, 1)]), [
      ['start 60'],
      ['end 60', 'start 61 by 60'],
      ['end 61'],
      ['restart 70'],
      ['end 70', 'start 71 by 70'],
    ])
    assert.deepEqual(looks(...first, [seen(70)]).at(-1), ['end 61', 'restart 70'])
  })

  it('have started again when a supervisor replaces what it has started, and not with its first child', () => {
    assert.deepEqual(looks([seen(60), seen(61, 60)], [seen(60)], [seen(60), seen(62, 60)], [seen(60), seen(63, 60)]), [
      ['start 60', 'start 61 by 60'],
      ['end 61'],
      ['restart 62'],
      ['end 62', 'restart 63'],
    ])
  })

  it('have not started again when a supervisor in the background starts one more', () => {
    const supervisor = seen(61, 1)
    assert.deepEqual(looks([seen(60)], [supervisor, seen(62, 61)], [supervisor, seen(62, 61), seen(63, 61)]), [
      ['start 60'],
      ['end 60', 'start 61 by 60', 'start 62 by 61'],
      ['start 63'],
    ])
  })

  it('have not ended when their name changes, and leave no place', () => {
    assert.deepEqual(looks([seen(60), seen(RENAMED)], [seen(60)], [seen(60), seen(91)], [seen(91)], [seen(91), seen(RENAMED)]), [
      ['start 60', 'start 90'],
      ['renamed 90'],
      ['start 91'],
      ['end 60'],
      ['restart 90'],
    ])
  })

  it('have not started again when another one starts beside them, or for something else', () => {
    const other = seen(70, 50, ['served', '/b'])
    assert.deepEqual(looks([seen(60)], [seen(60), other], [], [seen(80, 50, ['served', '/c'])]), [
      ['start 60'],
      ['start 70'],
      ['end 60', 'end 70'],
      ['start 80'],
    ])
  })
})
