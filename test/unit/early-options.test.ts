import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type EarlyOptions, pickEarlyOptions } from '../../src/programs/fused/early-options.ts'
import { parseFusedOptions } from '../../src/programs/fused/options.ts'

const ENV = { RUNTIME_DIRECTORY: '/run/of-the-unit' }

const WORDS: readonly (readonly string[])[] = [
  [],
  ['--state-dir', '/run/a'],
  ['--state-dir=/run/a/../b'],
  ['--state-dir', '/run/a', '--state-dir=/run/b'],
  ['--state-dir', 'relative'],
  ['--poll-time', '0'],
  ['--poll-time=120', '--socket', '/run/s.sock', '--log-format', 'json'],
  ['--inject', 'no-resend', '--drain-deadline', '3'],
  ['--die-with-parent', '--state-dir', '/run/a'],
]

describe('the words that a successor reads before it serves', () => {
  for (const args of WORDS) {
    it(`mean what they mean to all of it: ${args.join(' ') || 'none'}`, () => {
      const early = pickEarlyOptions(args, ENV)
      const all = parseFusedOptions(args, ENV)
      const picked: EarlyOptions = {
        stateDir: all.stateDir,
        pollTime: all.pollTime,
        withoutResend: all.withoutResend,
        dieWithParent: all.dieWithParent,
        logFormat: all.logFormat,
      }
      assert.deepEqual(early, picked)
    })
  }

  it('that are wrong are passed over: what is wrong with them is told later', () => {
    const usual = pickEarlyOptions([], ENV)
    for (const args of [['--poll-time', 'soon'], ['--poll-time'], ['--state-dir'], ['--nothing', 'x'], ['--log-format', 'xml']]) {
      assert.deepEqual(pickEarlyOptions(args, ENV), usual)
    }
  })
})
