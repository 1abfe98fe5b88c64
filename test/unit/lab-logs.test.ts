import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { describe, it } from 'node:test'
import { eventTable } from '../../src/lab/node-agent.ts'
import { ProcessLog } from '../../src/lab/process-log.ts'
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

describe("a pod's events", () => {
  it('are laid out as kubectl describes them', () => {
    const table = eventTable([
      { atMs: 1234, type: 'Normal', reason: 'Started', message: 'Started container' },
      { atMs: 61_000, type: 'Warning', reason: 'Failed', message: 'Error: dead' },
    ])
    assert.deepEqual(table, [
      'Type     Reason   At     From     Message',
      '----     ------   --     ----     -------',
      'Normal   Started  1.2s   kubelet  Started container',
      'Warning  Failed   61.0s  kubelet  Error: dead',
    ])
  })
})
