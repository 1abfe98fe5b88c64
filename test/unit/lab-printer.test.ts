import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Printer, wrap } from '../../src/lab/printer.ts'
import type { ScenarioRecord, Step } from '../../src/lab/scenario-record.ts'

const RECORD: ScenarioRecord = {
  name: 'some-failure',
  summary: 'something fails',
  outcome: 'not as expected',
  durationMs: 1234,
  checks: [
    { name: 'it is dead', expected: 'ENOTCONN', seen: 'ENOTCONN', passed: true },
    { name: 'it comes back', expected: 'Hello world!', seen: 'one\ntwo', passed: false },
    { name: 'it says so', expected: 'a line', seen: '', passed: false },
  ],
  transcript: [],
  logs: {},
}

const RECORDS: readonly ScenarioRecord[] = [
  RECORD,
  { ...RECORD, name: 'a', outcome: 'as expected', checks: RECORD.checks.slice(0, 1) },
]

function printed(act: (printer: Printer) => void, colour = false): string {
  let text = ''
  act(new Printer((more) => (text += more), colour))
  return text
}

const STEPS: { step: Step; text: string }[] = [
  { step: { kind: 'say', atMs: 0, text: 'A sentence.' }, text: '\nA sentence.\n' },
  {
    step: { kind: 'command', atMs: 0, where: 'node', command: 'kill -9 12', output: '', status: 0 },
    text: '\n[node] $ kill -9 12\n',
  },
  {
    step: { kind: 'command', atMs: 0, where: 'some-pod', command: 'ls /mnt', output: 'ls: dead', status: 2 },
    text: '\n[some-pod] $ ls /mnt\nls: dead\ncommand terminated with exit code 2\n',
  },
  {
    step: { kind: 'command', atMs: 0, where: 'node', command: 'ls', output: '', status: -1 },
    text: '\n[node] $ ls\ncommand did not end, and was killed\n',
  },
  { step: { kind: 'log', atMs: 0, of: 'plugin-1', lines: ['one', 'two'] }, text: '\n[plugin-1]\none\ntwo\n' },
]

describe("the lab's printer", () => {
  for (const { step, text } of STEPS) {
    it(`prints the step ${JSON.stringify(step)}`, () => {
      const seen = printed((printer) => {
        printer.step(step)
      })
      assert.equal(seen, text)
    })
  }

  it('marks each check, and shows what was expected and seen where they differ', () => {
    const text = printed((printer) => {
      printer.end(RECORD)
    })
    assert.equal(
      text,
      [
        '',
        '✓ it is dead: ENOTCONN',
        '✗ it comes back',
        '    expected: Hello world!',
        '    seen:     one',
        '              two',
        '✗ it says so',
        '    expected: a line',
        '    seen:     (nothing)',
        '',
        '',
      ].join('\n'),
    )
  })

  it('says why a scenario was broken off', () => {
    const text = printed((printer) => {
      printer.end({ ...RECORD, checks: [], outcome: 'broken off', reason: 'it was interrupted' })
    })
    assert.match(text, /^✗ broken off: it was interrupted$/m)
  })

  it('ends with a table of how each scenario came out', () => {
    const text = printed((printer) => {
      printer.summary(RECORDS)
    })
    assert.equal(
      text,
      [
        'scenario      checks  time   came out',
        'some-failure  1/3     1.2 s  not as expected',
        'a             1/1     1.2 s  as expected',
        '',
      ].join('\n'),
    )
  })

  it('uses colours only when told to, and they change no word', () => {
    const all = (printer: Printer): void => {
      printer.begin(RECORD)
      for (const { step } of STEPS) printer.step(step)
      printer.end(RECORD)
      printer.summary(RECORDS)
    }
    const escapes = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g')
    assert.doesNotMatch(printed(all), escapes)
    assert.match(printed(all, true), escapes)
    assert.equal(printed(all, true).replaceAll(escapes, ''), printed(all))
  })

  it('breaks sentences at spaces only', () => {
    assert.deepEqual(wrap('one two three', 7), ['one two', 'three'])
    assert.deepEqual(wrap('a/very/long/path is here', 7), ['a/very/long/path', 'is here'])
  })
})
