import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { asQuestion, RunningCall } from '../../src/call-context.ts'
import type { Probe } from '../../src/os/mounts/probe.ts'
import { Prober } from '../../src/os/mounts/prober.ts'

const LIMITS = { probe: 1000, probesAtOnce: 2, promptProbe: 100 }
const ABSENT: Probe = { kind: 'absent' }

/** A prober whose questions are answered by the test, in their order. */
class Questions {
  readonly answers: ((answer: Probe) => void)[] = []
  readonly prober = new Prober(LIMITS, () => new Promise((resolve) => this.answers.push(resolve)))
  readonly call = new RunningCall(60_000, { margin: 0 })

  ask(device: string): Promise<Probe> {
    return this.prober.ask('/somewhere', device, this.call)
  }
}

describe('Prober', () => {
  it('asks a connection once for all who ask at the same time, and again later', async () => {
    const questions = new Questions()
    const both = Promise.all([questions.ask('0:1'), questions.ask('0:1')])
    await setImmediate()
    assert.equal(questions.answers.length, 1)
    questions.answers[0]?.(ABSENT)
    assert.deepEqual(await both, [ABSENT, ABSENT])
    const again = questions.ask('0:1')
    await setImmediate()
    questions.answers[1]?.(ABSENT)
    assert.equal(await again, ABSENT)
  })

  it('has a mount hung that is silent for as long as a question lasts, and waits on for others who ask', async () => {
    const questions = new Questions()
    const acting = questions.ask('0:1')
    const { kind } = await questions.prober.ask('/somewhere', '0:1', asQuestion(questions.call, 1))
    assert.equal(kind, 'hung')
    assert.equal(questions.answers.length, 1)
    questions.answers[0]?.(ABSENT)
    assert.equal(await acting, ABSENT)
  })

  it('asks other connections meanwhile', async () => {
    const questions = new Questions()
    const [first, second] = [questions.ask('0:1'), questions.ask('0:2')]
    await setImmediate()
    questions.answers[1]?.(ABSENT)
    assert.equal(await second, ABSENT)
    questions.answers[0]?.(ABSENT)
    await first
  })

  it('does not ask again while the process that asked is stuck in the kernel', async () => {
    const questions = new Questions()
    const { promise: gone, resolve: end } = Promise.withResolvers<undefined>()
    const first = questions.ask('0:1')
    await setImmediate()
    questions.answers[0]?.({ kind: 'hung', gone: gone.then(() => undefined) })
    assert.equal((await first).kind, 'hung')
    assert.equal((await questions.ask('0:1')).kind, 'hung')
    assert.equal(questions.answers.length, 1)
    end(undefined)
    await setImmediate()
    const again = questions.ask('0:1')
    await setImmediate()
    questions.answers[1]?.(ABSENT)
    assert.equal(await again, ABSENT)
  })

  it('rejects when the call ends before the answer, which others still get', async () => {
    const questions = new Questions()
    const ending = new RunningCall(60_000, { margin: 0 })
    const left = questions.prober.ask('/somewhere', '0:1', ending)
    const stays = questions.ask('0:1')
    ending.cancel()
    await assert.rejects(left, /cancelled/)
    questions.answers[0]?.(ABSENT)
    assert.equal(await stays, ABSENT)
  })
})
