import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allRead } from '../../src/lab/cell/course.ts'
import { ReadLog } from '../../src/lab/cell/read-log.ts'
import { DRIVER_CONSUMERS } from '../../src/lab/matrix/consumers.ts'

/** Milliseconds for which each test waits for a consumer after the last start of one. */
const DEADLINE = 10_000

/** Consumers that start at these times and read right at once; one without a time never starts. The time is that of a clock that goes on at each look. */
function starting(...times: readonly (number | undefined)[]): Parameters<typeof allRead> {
  let now = 0
  const clock = (): number => {
    now += 500
    return now
  }
  const consumers = times.map((atMs, index) => {
    const [kind] = DRIVER_CONSUMERS.slice(index)
    assert.ok(kind !== undefined)
    const reads = new ReadLog()
    return {
      kind,
      get reads(): ReadLog {
        if (this.startedAt !== undefined) reads.end(now, 'right')
        return reads
      },
      get startedAt(): number | undefined {
        return atMs !== undefined && now >= atMs ? atMs : undefined
      },
    }
  })
  return [consumers, { clock, deadline: DEADLINE }]
}

describe('the wait for consumers before a failure', () => {
  it('is long enough for pods that are given their volume one after the other, by calls that take long', async () => {
    const [consumers, time] = starting(8000, 16_000, 24_000)
    await allRead(consumers, time, (those) => {
      assert.fail(`not waited for ${those.map(({ kind }) => kind.id).join(', ')}`)
    })
    assert.ok(time.clock() > 24_000)
  })

  it('ends some time after the last of them has come, and tells of the others', async () => {
    const [consumers, time] = starting(8000, undefined)
    const unready: string[] = []
    await allRead(consumers, time, (those) => unready.push(...those.map(({ kind }) => kind.id)))
    assert.deepEqual(
      unready,
      consumers.slice(1).map(({ kind }) => kind.id),
    )
    assert.ok(time.clock() > 18_000 && time.clock() < 28_000)
  })

  it('fails where none comes', async () => {
    await assert.rejects(
      allRead(...starting(undefined)),
      /^Error: these did not read right before the failure: \S+ \(it has not started\)$/,
    )
  })

  it('fails with what is known of a consumer that runs and does not read right', async () => {
    const [kind] = DRIVER_CONSUMERS
    const reads = new ReadLog()
    assert.ok(kind !== undefined)
    reads.begin(1000)
    reads.end(1100, 'EIO')
    reads.begin(1200)
    let now = 1000
    const clock = (): number => (now += 100)
    await assert.rejects(
      allRead([{ kind, reads, startedAt: 900 }], { clock, deadline: DEADLINE }),
      /: \S+ \(started 1\d\.\d s ago, 1 reads have ended, the last one: EIO, one is under way for \d+\.\d s\)$/,
    )
  })
})
