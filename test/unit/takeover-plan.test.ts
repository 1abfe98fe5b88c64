import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { ReadRecord, SessionRecord } from '../../src/fused/session-record.ts'
import { type Circumstances, planTakeover, type Step, type StoredDescriptor } from '../../src/fused/takeover.ts'

const BOOT = 'boot'
const NOW: Circumstances = { bootId: BOOT, drained: false, resends: true }
const ID = '00000000000000aa'
const OTHER = '00000000000000bb'

function record(id = ID, change: Partial<SessionRecord> = {}): SessionRecord {
  const negotiated = { minor: 45, flags: 0n, maxWrite: 4096, maxPages: 32, timeGran: 1, resend: true }
  return { version: 1, id, path: `/mnt/${id}`, options: [], faults: [], bootId: BOOT, connection: 50, negotiated, ...change }
}

function read(one: SessionRecord = record()): ReadRecord {
  return { kind: 'record', record: one }
}

function descriptor(fd: number, name = ID, change: Partial<StoredDescriptor> = {}): StoredDescriptor {
  return { fd, name, connection: 50, dead: false, ...change }
}

/** A step in short: its kind, its descriptor and what else decides. */
function brief(step: Step): string {
  switch (step.kind) {
    case 'serve':
      return `serve ${step.fd} as ${step.record.id}${step.storeAgain ? ', store again' : ''}`
    case 'recover':
      return `recover ${step.fd} of ${step.name}${step.storeAgain ? ', store again' : ''}`
    case 'hold':
      return `hold ${step.fd} as ${step.id}${step.record === undefined ? ', unread' : ''}`
    case 'release':
      return `release ${step.fd} of ${step.name}${step.forget ? ', forget' : ''}`
    case 'cleanUp':
      return `clean up ${step.record.id}`
    case 'discard':
      return `discard ${step.id}${step.damaged ? ', damaged' : ''}`
  }
}

interface Case {
  readonly title: string
  readonly descriptors: readonly StoredDescriptor[]
  readonly records: readonly ReadRecord[]
  readonly now?: Partial<Circumstances>
  readonly steps: readonly string[]
}

const damaged: ReadRecord = { kind: 'damaged', id: ID, why: 'it is no JSON' }
const newer: ReadRecord = { kind: 'newer', id: ID, version: 2 }
const olderKernel = record(ID, { negotiated: { ...record().negotiated, resend: false } })

const CASES: readonly Case[] = [
  { title: 'nothing', descriptors: [], records: [], steps: [] },
  { title: 'a record and its descriptor', descriptors: [descriptor(3)], records: [read()], steps: [`serve 3 as ${ID}`] },
  {
    title: 'a kernel that does not tell connections',
    descriptors: [descriptor(3, ID, { connection: undefined })],
    records: [read()],
    steps: [`serve 3 as ${ID}`],
  },
  {
    title: 'several, in whatever order',
    descriptors: [descriptor(4, OTHER, { connection: 51 }), descriptor(3)],
    records: [read(), read(record(OTHER, { connection: 51 }))],
    steps: [`serve 3 as ${ID}`, `serve 4 as ${OTHER}`],
  },
  { title: 'a record alone', descriptors: [], records: [read()], steps: [`clean up ${ID}`] },
  { title: 'a descriptor alone', descriptors: [descriptor(3)], records: [], steps: [`recover 3 of ${ID}`] },
  {
    title: 'a descriptor alone, dead',
    descriptors: [descriptor(3, ID, { dead: true })],
    records: [],
    steps: [`release 3 of ${ID}, forget`],
  },
  {
    title: 'a record whose connection was cut',
    descriptors: [descriptor(3, ID, { dead: true })],
    records: [read()],
    steps: [`release 3 of ${ID}, forget`, `clean up ${ID}`],
  },
  {
    title: 'a record whose name has another connection',
    descriptors: [descriptor(3, ID, { connection: 51 })],
    records: [read()],
    steps: [`release 3 of ${ID}, forget`, `clean up ${ID}`],
  },
  {
    title: 'a name used twice, for copies',
    descriptors: [descriptor(3), descriptor(4)],
    records: [read()],
    steps: [`release 4 of ${ID}`, `serve 3 as ${ID}, store again`],
  },
  {
    title: 'a name used twice, once for another connection',
    descriptors: [descriptor(3, ID, { connection: 51 }), descriptor(4)],
    records: [read()],
    steps: [`release 3 of ${ID}`, `serve 4 as ${ID}, store again`],
  },
  {
    title: 'a name used twice, once for a dead one',
    descriptors: [descriptor(3, ID, { dead: true }), descriptor(4)],
    records: [read()],
    steps: [`release 3 of ${ID}`, `serve 4 as ${ID}, store again`],
  },
  {
    title: 'a name of no record used twice, for copies',
    descriptors: [descriptor(3), descriptor(4)],
    records: [],
    steps: [`recover 3 of ${ID}, store again`, `release 4 of ${ID}`],
  },
  {
    title: 'a name of no record used twice, for two connections',
    descriptors: [descriptor(3, 'stored'), descriptor(4, 'stored', { connection: 51 })],
    records: [],
    steps: ['recover 3 of stored, store again', 'recover 4 of stored, store again'],
  },
  {
    title: 'a name of no record used twice, once for a dead one',
    descriptors: [descriptor(3, 'stored', { dead: true, connection: 51 }), descriptor(4, 'stored')],
    records: [],
    steps: ['release 3 of stored', 'recover 4 of stored, store again'],
  },
  { title: 'a damaged record alone', descriptors: [], records: [damaged], steps: [`discard ${ID}, damaged`] },
  {
    title: 'a damaged record and its descriptor',
    descriptors: [descriptor(3)],
    records: [damaged],
    steps: [`discard ${ID}, damaged`, `recover 3 of ${ID}`],
  },
  {
    title: 'a damaged record and a dead descriptor',
    descriptors: [descriptor(3, ID, { dead: true })],
    records: [damaged],
    steps: [`discard ${ID}, damaged`, `release 3 of ${ID}, forget`],
  },
  { title: 'a newer record alone is left to who can read it', descriptors: [], records: [newer], steps: [] },
  {
    title: 'a newer record and its descriptor',
    descriptors: [descriptor(3)],
    records: [newer],
    steps: [`hold 3 as ${ID}, unread`],
  },
  {
    title: 'a newer record, its name used twice',
    descriptors: [descriptor(3), descriptor(4)],
    records: [newer],
    steps: [`hold 3 as ${ID}, unread`, `release 4 of ${ID}`],
  },
  {
    title: 'a newer protocol',
    descriptors: [descriptor(3)],
    records: [read(record(ID, { negotiated: { ...record().negotiated, minor: 99 } }))],
    steps: [`hold 3 as ${ID}`],
  },
  {
    title: 'an older protocol than any that is spoken',
    descriptors: [descriptor(3)],
    records: [read(record(ID, { negotiated: { ...record().negotiated, minor: 30 } }))],
    steps: [`hold 3 as ${ID}`],
  },
  {
    title: 'a record from before the last boot',
    descriptors: [],
    records: [read(record(ID, { bootId: 'before' }))],
    steps: [`discard ${ID}`],
  },
  {
    title: 'a record from before the last boot and a descriptor of its name',
    descriptors: [descriptor(3)],
    records: [read(record(ID, { bootId: 'before' }))],
    steps: [`discard ${ID}`, `recover 3 of ${ID}`],
  },
  {
    title: 'a session that cannot be asked again, after a crash',
    descriptors: [descriptor(3)],
    records: [read(olderKernel)],
    steps: [`release 3 of ${ID}, forget`, `clean up ${ID}`],
  },
  {
    title: 'a session that cannot be asked again, after a drain',
    descriptors: [descriptor(3)],
    records: [read(olderKernel)],
    now: { drained: true },
    steps: [`serve 3 as ${ID}`],
  },
  {
    title: 'a descriptor alone on such a kernel, after a crash',
    descriptors: [descriptor(3)],
    records: [],
    now: { resends: false },
    steps: [`release 3 of ${ID}, forget`],
  },
  {
    title: 'a descriptor alone on such a kernel, after a drain',
    descriptors: [descriptor(3)],
    records: [],
    now: { resends: false, drained: true },
    steps: [`recover 3 of ${ID}`],
  },
  {
    title: 'each of them for itself',
    descriptors: [descriptor(3), descriptor(4, OTHER, { connection: 51 }), descriptor(5, 'stray', { connection: 52 })],
    records: [damaged, read(record(OTHER, { connection: 51 })), read(record('00000000000000cc'))],
    steps: [
      `discard ${ID}, damaged`,
      `recover 3 of ${ID}`,
      `serve 4 as ${OTHER}`,
      'clean up 00000000000000cc',
      'recover 5 of stray',
    ],
  },
]

describe('planTakeover', () => {
  for (const { title, descriptors, records, now = {}, steps } of CASES) {
    it(`plans for ${title}`, () => {
      assert.deepEqual(planTakeover(descriptors, records, { ...NOW, ...now }).map(brief), steps)
    })
  }

  it('says why, of each that is not simply served', () => {
    for (const { descriptors, records, now = {} } of CASES) {
      for (const step of planTakeover(descriptors, records, { ...NOW, ...now }))
        if (step.kind !== 'serve') assert.match(step.why, /^[a-z]/)
    }
  })

  const names = fc.constantFrom(ID, OTHER, 'stored', '00000000000000cc')
  const stored = fc.record({
    name: names,
    connection: fc.option(fc.integer({ min: 50, max: 53 }), { nil: undefined }),
    dead: fc.boolean(),
  })
  const found = fc.record({
    id: names,
    kind: fc.constantFrom('record', 'newer', 'damaged', 'old', 'no-resend', 'newer protocol'),
    connection: fc.integer({ min: 50, max: 53 }),
  })
  const circumstances = fc.record({ bootId: fc.constant(BOOT), drained: fc.boolean(), resends: fc.boolean() })

  function toRead({ id, kind, connection }: { id: string; kind: string; connection: number }): ReadRecord {
    const { negotiated } = record()
    switch (kind) {
      case 'newer':
        return { kind, id, version: 2 }
      case 'damaged':
        return { kind, id, why: 'it is no JSON' }
      case 'old':
        return read(record(id, { connection, bootId: 'before' }))
      case 'no-resend':
        return read(record(id, { connection, negotiated: { ...negotiated, resend: false } }))
      case 'newer protocol':
        return read(record(id, { connection, negotiated: { ...negotiated, minor: 99 } }))
      default:
        return read(record(id, { connection }))
    }
  }

  it('has exactly one use for every descriptor, at most one session for every record, and serves nothing dead, whatever there is', () => {
    fc.assert(
      fc.property(
        fc.array(stored, { maxLength: 8 }),
        fc.uniqueArray(found, { maxLength: 4, selector: ({ id }) => id }),
        circumstances,
        (handed, there, now) => {
          const descriptors = handed.map((one, index) => ({ ...one, fd: 3 + index }))
          const steps = planTakeover(descriptors, there.map(toRead), now)
          const used = steps.flatMap((step) => ('fd' in step ? [step.fd] : []))
          assert.deepEqual([...used].sort(), descriptors.map(({ fd }) => fd).sort())
          const ids = steps.flatMap((step) => (step.kind === 'serve' || step.kind === 'cleanUp' ? [step.record.id] : []))
          assert.equal(new Set(ids).size, ids.length)
          const held = steps.flatMap((step) => (step.kind === 'hold' ? [step.id] : []))
          assert.equal(new Set(held).size, held.length)
          const dead = new Set(descriptors.filter((one) => one.dead).map(({ fd }) => fd))
          for (const step of steps) if (step.kind === 'serve' || step.kind === 'recover') assert.ok(!dead.has(step.fd))
        },
      ),
    )
  })
})
