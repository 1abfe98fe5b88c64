import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { descriptorSink, goTimestamp, Logger, type LogFormat } from '../../src/log.ts'
import { Sandbox } from '../support/sandbox.ts'

function written(format: LogFormat, write: (log: Logger) => void): [line: string, level: string][] {
  const lines: [string, string][] = []
  write(new Logger((line, level) => lines.push([line, level]), format))
  return lines
}

const STAMP = String.raw`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d `

describe('Logger', () => {
  it('writes text as the original does', () => {
    const [[line, level] = []] = written('text', (log) => {
      log.info('GRPC call', { id: 4, data: '/csi.v1.Node/NodeStageVolume' })
    })
    assert.match(line ?? '', new RegExp(`${STAMP}\\[ID:4\\] GRPC call: /csi\\.v1\\.Node/NodeStageVolume$`))
    assert.equal(level, 'info')
  })

  it('writes data that is no string as JSON', () => {
    const [[line] = []] = written('text', (log) => {
      log.warning('GRPC response', { id: 1, data: { a: ['b\n', 1] } })
    })
    assert.match(line ?? '', /\[ID:1\] GRPC response: \{"a":\["b\\n",1\]\}$/)
  })

  it('keeps a message on one line, so that nobody can forge another', () => {
    const [[line] = []] = written('text', (log) => {
      log.error('a\n2021/04/16 13:36:21 forged')
    })
    assert.equal(line?.includes('\n'), false)
  })

  it('writes one JSON object a line', () => {
    const [[line] = []] = written('json', (log) => {
      log.error('it\nfailed', { id: 7, data: { x: 1 } })
    })
    const { time, ...rest } = JSON.parse(line ?? '') as Record<string, unknown>
    assert.deepEqual(rest, { level: 'error', msg: 'it\nfailed', id: 7, data: { x: 1 } })
    assert.ok(Number.isFinite(Date.parse(String(time))))
    assert.equal(line?.includes('\n'), false)
  })
})

describe('goTimestamp', () => {
  it("is local time with two digits each, as Go's log package has it", () => {
    assert.equal(goTimestamp(new Date(2021, 3, 6, 3, 6, 1)), '2021/04/06 03:06:01')
  })
})

describe('descriptorSink', () => {
  it('has written each line when it returns', async () => {
    await using sandbox = new Sandbox()
    const file = `${sandbox.path}/log`
    const fd = openSync(file, 'a')
    const sink = descriptorSink(fd)
    sink('one', 'info')
    sink('zwei ü', 'error')
    assert.equal(readFileSync(file, 'utf8'), 'one\nzwei ü\n')
    closeSync(fd)
  })

  it('hands lines that find no reader to the other sink, and drops them without one', () => {
    const fd = openSync('/dev/full', 'w')
    const rest: string[] = []
    descriptorSink(fd, (line, level) => rest.push(`${level}: ${line}`))('lost', 'warning')
    assert.doesNotThrow(() => {
      descriptorSink(fd)('lost', 'info')
    })
    assert.deepEqual(rest, ['warning: lost'])
    closeSync(fd)
  })
})
