import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ALL, Diary } from '../churn/diary.ts'
import {
  judgeBooks,
  judgeDead,
  judgeEnd,
  judgeHealth,
  judgeList,
  judgeProcesses,
  judgeRestoring,
  judgeSessions,
  judgeSpares,
  judgeStats,
  judgeStatus,
  type StatusVolume,
  type Verdict,
  type Window,
} from '../churn/judge.ts'
import type { SeenMount, SeenProcess, Snapshot } from '../churn/snapshot.ts'

const PLACES = { id: 'volume-1', staging: '/s', target: '/t' }
const SESSION: SeenMount = { device: '0:50', fsType: 'fuse.dummy-fuse' }
const OTHER: SeenMount = { device: '0:60', fsType: 'fuse.dummy-fuse' }
const DAEMON: SeenProcess = {
  pid: 7,
  start: '100',
  comm: 'dummy-fuse',
  args: ['dummy-fuse', '-f', '/s'],
  stopped: false,
  exiting: false,
  devices: ['0:50'],
}

/** A volume that is staged, published and served, but for what is named. */
interface Scenery {
  readonly staging?: SeenMount | null
  readonly target?: SeenMount | null
  readonly processes?: readonly SeenProcess[]
  readonly staged?: boolean
  readonly published?: boolean
  readonly sessions?: readonly string[]
}

function snapshot({
  staging = SESSION,
  target = SESSION,
  processes = [DAEMON],
  staged = true,
  published = true,
  sessions = [],
}: Scenery = {}): Snapshot {
  const mounts = [...(staging === null ? [] : [['/s', staging] as const]), ...(target === null ? [] : [['/t', target] as const])]
  return {
    from: 0,
    to: 1,
    mounts: new Map(mounts),
    processes,
    staged: new Map(staged ? [['/s', 'volume-1']] : []),
    published: new Map(published ? [['/t', 'volume-1']] : []),
    sessions,
  }
}

/** A window in which nothing changes, or in which it changes from one to the other. */
function window(before: Scenery = {}, after = before, more: Partial<Window> = {}): Window {
  const still = { touched: () => false, unsettled: () => false, daemons: 'per-volume' as const }
  return { before: snapshot(before), after: snapshot(after), ...still, ...more }
}

function said(changes: Partial<StatusVolume> = {}): StatusVolume {
  const targets = [{ path: '/t', state: 'MOUNTED' }]
  return { volumeId: 'volume-1', stagingPath: '/s', state: 'MOUNTED', daemon: { pid: 7 }, targets, findings: [], ...changes }
}

const STOPPED = { ...DAEMON, stopped: true }
const DEAD = { processes: [] }
const NOTHING = { staging: null, target: null, processes: [], staged: false, published: false }

/** Statements, what was so meanwhile, and what the judge must say: `lie`, `true` or `open`, where it cannot tell. */
const CASES: readonly (readonly [title: string, expected: 'lie' | 'true' | 'open', judge: () => Verdict])[] = [
  ['health: nothing is wrong, and it is so', 'true', () => judgeHealth(PLACES, { reasons: [] }, window())],
  ['health: nothing is wrong; the daemon is gone', 'lie', () => judgeHealth(PLACES, { reasons: [] }, window(DEAD))],
  ['health: nothing is wrong; the daemon goes meanwhile', 'open', () => judgeHealth(PLACES, { reasons: [] }, window({}, DEAD))],
  [
    'health: nothing is wrong; the daemon is stopped',
    'lie',
    () => judgeHealth(PLACES, { reasons: [] }, window({ processes: [STOPPED] })),
  ],
  ['health: nothing is wrong; not mounted', 'lie', () => judgeHealth(PLACES, { reasons: [] }, window({ staging: null }))],
  ['health: nothing is wrong; the target is not', 'lie', () => judgeHealth(PLACES, { reasons: [] }, window({ target: null }))],
  [
    'health: nothing is wrong; published nowhere',
    'true',
    () => judgeHealth(PLACES, { reasons: [] }, window({ target: null, published: false })),
  ],
  [
    'health: nothing is wrong; another session at the target',
    'lie',
    () => judgeHealth(PLACES, { reasons: [] }, window({ target: OTHER })),
  ],
  [
    'health: nothing is wrong; a call is under way',
    'open',
    () => judgeHealth(PLACES, { reasons: [] }, window(DEAD, DEAD, { touched: () => true })),
  ],
  ['health: DaemonDead, and it is so', 'true', () => judgeHealth(PLACES, { reasons: ['DaemonDead'] }, window(DEAD))],
  ['health: DaemonDead; it serves', 'lie', () => judgeHealth(PLACES, { reasons: ['DaemonDead'] }, window())],
  [
    'health: DaemonDead; nothing is mounted',
    'lie',
    () => judgeHealth(PLACES, { reasons: ['DaemonDead'] }, window({ staging: null })),
  ],
  [
    'health: DaemonDead; it is ending',
    'true',
    () => judgeHealth(PLACES, { reasons: ['DaemonDead'] }, window({ processes: [{ ...DAEMON, exiting: true }] })),
  ],
  [
    'health: DaemonHung of one that is stopped',
    'true',
    () => judgeHealth(PLACES, { reasons: ['DaemonHung'] }, window({ processes: [STOPPED] })),
  ],
  ['health: StagingNotMounted; it is', 'lie', () => judgeHealth(PLACES, { reasons: ['StagingNotMounted'] }, window())],
  ['health: TargetNotMounted; it is', 'lie', () => judgeHealth(PLACES, { reasons: ['TargetNotMounted'] }, window())],
  ['health: StaleBind, and it is so', 'true', () => judgeHealth(PLACES, { reasons: ['StaleBind'] }, window({ target: OTHER }))],
  ['health: StaleBind of the same session', 'lie', () => judgeHealth(PLACES, { reasons: ['StaleBind'] }, window())],
  ['health: NOT_FOUND of what is in the books', 'lie', () => judgeHealth(PLACES, { code: 'NOT_FOUND' }, window())],
  ['health: NOT_FOUND of what is in no book', 'true', () => judgeHealth(PLACES, { code: 'NOT_FOUND' }, window(NOTHING))],
  ['health: UNAVAILABLE', 'open', () => judgeHealth(PLACES, { code: 'UNAVAILABLE' }, window(DEAD))],

  ['stats: figures of what is served', 'true', () => judgeStats(PLACES, 'OK', window())],
  ['stats: figures, and nothing is mounted', 'lie', () => judgeStats(PLACES, 'OK', window({ target: null }))],
  ['stats: figures of a dead session', 'lie', () => judgeStats(PLACES, 'OK', window(DEAD))],
  ['stats: NOT_FOUND of a target that is mounted', 'lie', () => judgeStats(PLACES, 'NOT_FOUND', window())],
  ['stats: NOT_FOUND where nothing is', 'true', () => judgeStats(PLACES, 'NOT_FOUND', window({ target: null }))],

  ['status: as it is', 'true', () => judgeStatus(PLACES, said(), window())],
  [
    'status: MOUNTED; the daemon is gone',
    'lie',
    () => judgeStatus(PLACES, said({ daemon: null, findings: [{ reason: 'DaemonHung' }] }), window(DEAD)),
  ],
  [
    'status: DEAD; it serves',
    'lie',
    () => judgeStatus(PLACES, said({ state: 'DEAD', findings: [{ reason: 'DaemonHung' }] }), window()),
  ],
  [
    'status: NOT_MOUNTED; it is',
    'lie',
    () => judgeStatus(PLACES, said({ state: 'NOT_MOUNTED', findings: [{ reason: 'DaemonHung' }] }), window()),
  ],
  ['status: a daemon that is none', 'lie', () => judgeStatus(PLACES, said({ daemon: { pid: 8 } }), window())],
  ['status: no daemon, and one serves', 'lie', () => judgeStatus(PLACES, said({ daemon: null }), window())],
  [
    'status: no daemon, and a shared one serves',
    'true',
    () => judgeStatus(PLACES, said({ daemon: null }), window({}, {}, { daemons: 'shared' })),
  ],
  ['status: silent about what is in the books', 'lie', () => judgeStatus(PLACES, undefined, window())],
  ['status: silent about what is in no book', 'true', () => judgeStatus(PLACES, undefined, window(NOTHING))],
  ['status: a volume that is in no book', 'lie', () => judgeStatus(PLACES, said(), window({ staged: false, published: false }))],
  ['status: the target left out', 'lie', () => judgeStatus(PLACES, said({ targets: [] }), window())],
  ['status: a target that is in no book', 'lie', () => judgeStatus(PLACES, said(), window({ published: false }))],
  [
    'status: a target is not mounted; it is',
    'lie',
    () => judgeStatus(PLACES, said({ targets: [{ path: '/t', state: 'NOT_MOUNTED' }] }), window()),
  ],
  [
    'status: a target is mounted; it is not',
    'lie',
    () => judgeStatus(PLACES, said({ findings: [{ reason: 'TargetNotMounted' }] }), window({ target: null })),
  ],
  ['status: true only before', 'open', () => judgeStatus(PLACES, said(), window({}, NOTHING))],

  ['ps: the daemon of what is mounted', 'true', () => judgeProcesses(PLACES, window())],
  ['ps: the daemon of a path where nothing is', 'lie', () => judgeProcesses(PLACES, window({ staging: null }))],
  [
    'ps: one that serves something else',
    'lie',
    () => judgeProcesses(PLACES, window({ processes: [DAEMON, { ...DAEMON, pid: 8, devices: [] }] })),
  ],
  ['ps: one that a call has begun', 'open', () => judgeProcesses(PLACES, window({ staging: null }, {}, { unsettled: () => true }))],
  ['ps: a spare that serves', 'lie', () => judgeSpares(window({ processes: [{ ...DAEMON, comm: 'dummy-spare' }] }))],
  ['ps: a spare that waits', 'true', () => judgeSpares(window({ processes: [{ ...DAEMON, comm: 'dummy-spare', devices: [] }] }))],
  [
    'ps: a spare that has got its order meanwhile',
    'true',
    () => judgeSpares(window({ processes: [{ ...DAEMON, comm: 'dummy-spare', devices: [] }] }, {})),
  ],

  ['books: as it is', 'true', () => judgeBooks(PLACES, window())],
  ['books: mounted, and not staged', 'lie', () => judgeBooks(PLACES, window({ staged: false }))],
  ['books: bound, and not published', 'lie', () => judgeBooks(PLACES, window({ published: false }))],
  [
    'books: while a call has failed',
    'open',
    () => judgeBooks(PLACES, window({ published: false }, { published: false }, { unsettled: () => true })),
  ],

  ['log: a daemon has ended, and it has', 'true', () => judgeEnd(7, window({}, DEAD))],
  ['log: a daemon has ended, and it runs', 'lie', () => judgeEnd(7, window())],
  ['log: one has ended that was gone before', 'open', () => judgeEnd(7, window(DEAD))],
  ['log: a mount was dead, and its daemon was killed', 'true', () => judgeDead('/s', true)],
  ['log: a mount was dead, and nobody has killed its daemon', 'lie', () => judgeDead('/s', false)],

  ['STATUS: as many sessions as there are', 'true', () => judgeSessions(2, [PLACES], window({ sessions: ['a', 'b'] }))],
  [
    'STATUS: as many as there were',
    'true',
    () => judgeSessions(1, [PLACES], window({ sessions: ['a'] }, { sessions: ['a', 'b'] })),
  ],
  ['STATUS: none, all the while', 'lie', () => judgeSessions(0, [PLACES], window({ sessions: ['a', 'b'] }))],
  ['STATUS: too many', 'lie', () => judgeSessions(3, [PLACES], window({ sessions: ['a', 'b'] }))],
  [
    'STATUS: one more, while one changes',
    'true',
    () => judgeSessions(3, [PLACES], window({ sessions: ['a', 'b'] }, { sessions: ['a', 'b'] }, { touched: () => true })),
  ],
  ['STATUS: volumes are left to be restored, and are', 'true', () => judgeRestoring(5, [{ least: 3, most: 6 }])],
  [
    'STATUS: volumes are left as they were a moment ago',
    'true',
    () =>
      judgeRestoring(5, [
        { least: 5, most: 5 },
        { least: 0, most: 0 },
      ]),
  ],
  ['STATUS: volumes are left, and none is', 'lie', () => judgeRestoring(5, [{ least: 0, most: 0 }])],
  ['STATUS: of a life that restores nothing', 'open', () => judgeRestoring(0, [])],

  ['ListVolumes: what is there', 'true', () => judgeList(['a', 'unsure'], ['a'], ['b'])],
  ['ListVolumes: without what is there', 'lie', () => judgeList([], ['a'], [])],
  ['ListVolumes: with what is gone', 'lie', () => judgeList(['b'], [], ['b'])],
]

describe('the judge of what is said in a churn', () => {
  for (const [title, expected, judge] of CASES) {
    it(`${expected}: ${title}`, () => {
      const verdict = judge()
      assert.equal(verdict === undefined ? 'open' : verdict.length === 0 ? 'true' : 'lie', expected, String(verdict))
    })
  }
})

/** A time that everything before it has come by, and nothing after it. */
async function instant(): Promise<number> {
  await sleep(2)
  const now = performance.now()
  await sleep(2)
  return now
}

describe('the diary of a churn', () => {
  it('knows a volume as changing from the beginning of a call to its end, and for a while after a failure', async () => {
    const diary = new Diary()
    const before = await instant()
    const end = diary.begin('volume-1')
    const meanwhile = await instant()
    assert.equal(diary.touched('volume-1', before, before), false)
    assert.equal(diary.touched('volume-1', before, meanwhile), true)
    assert.equal(diary.touched('volume-2', before, meanwhile), false)
    assert.equal(diary.unsettled('volume-1'), true)
    end('ok')
    const later = await instant()
    assert.equal(diary.touched('volume-1', later, later), false)
    assert.equal(diary.unsettled('volume-1'), false)
    assert.deepEqual([diary.lastSuccess('volume-1', before), diary.lastSuccess('volume-1', later) !== undefined], [undefined, true])
    diary.begin('volume-1')('unsent')
    assert.equal(diary.unsettled('volume-1'), false)
    diary.begin('volume-1')('failed')
    const last = await instant()
    assert.equal(diary.touched('volume-1', last, last), true)
    assert.equal(diary.unsettled('volume-1'), true)
  })

  it('knows whom a signal concerns, until its effects are over', async () => {
    const diary = new Diary()
    const over = diary.hit('volume-1', 'gone')
    const now = await instant()
    assert.deepEqual([diary.touched('volume-1', now, now), diary.touched('volume-2', now, now)], [true, false])
    over()
    const later = await instant()
    assert.equal(diary.touched('volume-1', later, later), false)
    assert.equal(diary.hitSince('volume-1', now), true)
    assert.equal(diary.hitSince('volume-1', later), false)
    diary.hit(ALL, 'stopped')
    const last = await instant()
    assert.equal(diary.touched('volume-2', last, last), true)
    assert.deepEqual([...diary.effects('volume-1', now, last)].sort(), ['gone', 'stopped'])
    assert.deepEqual([...diary.effects('volume-2', last, last)], ['stopped'])
  })
})
