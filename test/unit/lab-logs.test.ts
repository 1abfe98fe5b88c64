import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { describe, it } from 'node:test'
import { Timeline } from '../../src/lab/cell/timeline.ts'
import { ProcessLog } from '../../src/lab/process-log.ts'
import { eventTable } from '../../src/lab/scenarios/pod-events.ts'
import type { LogLine, Step } from '../../src/lab/scenario-record.ts'
import { Transcript } from '../../src/lab/transcript.ts'
import { eventually } from '../support/wait.ts'

function newLog(): { log: ProcessLog; stream: PassThrough; told: [string, LogLine][] } {
  const told: [string, LogLine][] = []
  let now = 0
  const log = new ProcessLog(
    'some-process',
    () => ++now,
    (process, line) => told.push([process, line]),
  )
  const stream = new PassThrough()
  log.follow(stream)
  return { log, stream, told }
}

describe("a process's log", () => {
  it('takes a stream in line by line, however it is cut', async () => {
    const { log, stream, told } = newLog()
    for (const part of ['on', 'e\ntw', 'o\n\nlast']) stream.write(part)
    stream.end()
    await eventually('the last line', () => log.lines.length === 4)
    const lines = ['one', 'two', '', 'last'].map((line, index) => ({ atMs: index + 1, line }))
    assert.deepEqual(log.lines, lines)
    assert.deepEqual(
      told,
      lines.map((line) => ['some-process', line]),
    )
  })

  it('is shown in the transcript once, and shortened in the middle', async () => {
    const { log, stream } = newLog()
    const steps: Step[] = []
    const transcript = new Transcript(
      () => 0,
      (step) => steps.push(step),
    )
    stream.write('1\n2\n3\n4\n5\n6\n')
    await eventually('six lines', () => log.lines.length === 6)
    transcript.log(log, 3)
    stream.write('7\n8\n')
    await eventually('two more', () => log.lines.length === 8)
    transcript.log(log, 3)
    assert.deepEqual(
      steps.map((step) => (step.kind === 'log' ? step.lines : [])),
      [
        ['1', '...', '5', '6'],
        ['7', '8'],
      ],
    )
  })
})

describe('the log lines of a lane', () => {
  /** The numbers of the lines that are kept of 300, one each millisecond, or what stands in their place. */
  function kept(moments: readonly number[]): readonly string[] {
    const timeline = new Timeline(() => 0)
    for (let at = 1; at <= 300; at++) timeline.log('plugin', at, String(at))
    timeline.log('other', 150, 'alone')
    return timeline
      .logs(moments)
      .filter(({ lane }) => lane === 'plugin')
      .map(({ text }) => text)
  }
  const numbers = (from: number, to: number): readonly string[] =>
    Array.from({ length: to - from + 1 }, (_, at) => String(from + at))

  it('are the first and the last ones, and the number of those that are left out', () => {
    assert.deepEqual(kept([]), [...numbers(1, 30), '[240 lines are left out here]', ...numbers(271, 300)])
  })

  it('are also those around the failure and the recovery', () => {
    const around = [...numbers(70, 129), '[40 lines are left out here]', ...numbers(170, 229)]
    const cut = ['[39 lines are left out here]', '[41 lines are left out here]'] as const
    assert.deepEqual(kept([100, 200]), [...numbers(1, 30), cut[0], ...around, cut[1], ...numbers(271, 300)])
  })
})

describe("a pod's events", () => {
  it('are laid out as kubectl describes them', () => {
    const table = eventTable([
      { atMs: 1234, lane: 'pod', kind: 'start', text: 'started' },
      { atMs: 50_000, lane: 'pod', kind: 'end', text: 'ended with exit status 1' },
      { atMs: 61_000, lane: 'pod', kind: 'log', text: 'Error: dead' },
      { atMs: 61_250, lane: 'pod', kind: 'restart', text: 'started again' },
    ])
    assert.deepEqual(table, [
      'Type     Reason   At     From     Message',
      '----     ------   --     ----     -------',
      'Normal   Started  1.2s   kubelet  Started container dummy-workload',
      'Warning  Failed   61.0s  kubelet  Error: dead',
      'Normal   Started  61.3s  kubelet  Started container dummy-workload',
    ])
  })
})
