import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { firstRead } from '../../src/lab/driver/first-read.ts'

/** The first read of a file of which each read takes so long, and whose mount comes so late; milliseconds on a clock of its own. */
async function reading(took: number, mountedAt: number, watch = 2000): Promise<readonly [saw: string, afterMs: number]> {
  let now = 0
  const isMounted = (): boolean => now >= mountedAt
  const { attempt, afterMs } = await firstRead({
    elapsed: () => now,
    read: (deadline) => {
      if (!isMounted()) {
        now += 4000
        return Promise.resolve({ kind: 'exited', saw: 'No such file or directory', held: '' })
      }
      now += Math.min(took, deadline)
      return Promise.resolve(
        took > deadline ? { kind: 'timeout', saw: 'no answer', held: '' } : { kind: 'exited', saw: 'right', held: '' },
      )
    },
    isMounted,
    watch,
  })
  return [attempt.saw, afterMs]
}

describe('the first read of a volume', () => {
  it('is given the time that it takes', async () => {
    assert.deepEqual(await reading(1500, 0), ['right', 1500])
    assert.deepEqual(await reading(14_000, 0), ['right', 14_000])
    assert.equal((await reading(Infinity, 0))[0], 'no answer')
  })

  it('waits for a mount that comes long after the answer, and as long as the file says', async () => {
    assert.deepEqual(await reading(10, 8000), ['right', 8010])
    assert.deepEqual(await reading(10, 20_000, 30_000), ['right', 20_010])
    assert.equal((await reading(10, Infinity))[0], 'No such file or directory')
  })
})
