import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ChildProgram, describeEnd } from '../../src/os/processes/child-program.ts'
import { killAfter } from '../../src/os/processes/kill-after.ts'
import { eventually } from '../support/wait.ts'

const shell = (script: string): ChildProgram =>
  new ChildProgram({ file: '/bin/sh', args: ['-c', script], stdio: ['ignore', 'pipe', 'ignore'] })

describe('ChildProgram', () => {
  it('resolves to the end, once all its output has been read', async () => {
    const child = shell('echo all; exit 3')
    let output = ''
    child.stdout?.on('data', (text: Buffer) => (output += text.toString()))
    assert.equal(child.end, undefined)
    const end = await child.closed
    assert.equal(output, 'all\n')
    assert.deepEqual(end, { status: 3, signal: null })
    assert.deepEqual(child.end, end)
    assert.equal(describeEnd(end), 'exit status 3')
  })

  it('names the signal that ended it', async () => {
    const child = shell('kill -TERM $$')
    child.stdout?.resume()
    assert.equal(describeEnd(await child.ended), 'SIGTERM')
  })

  const FAILURES = {
    'a file that is not there, which Node tells by an event': { file: '/no/such/file', args: [], code: 'ENOENT' },
    'too long arguments, for which Node throws': { file: '/bin/true', args: ['x'.repeat(3 << 20)], code: 'E2BIG' },
  }
  for (const [name, { file, args, code }] of Object.entries(FAILURES)) {
    it(`rejects both promises for ${name}`, async () => {
      const child = new ChildProgram({ file, args, stdio: ['ignore', 'pipe', 'pipe'] })
      assert.equal(child.pid, 0)
      await assert.rejects(child.ended, { code })
      await assert.rejects(child.closed, { code })
      assert.equal(child.end, undefined)
      child.kill()
      child.abandon()
    })
  }
})

describe('killAfter', () => {
  it('lets a process end by itself within its grace period', async () => {
    const child = shell('exit 0')
    child.stdout?.resume()
    assert.equal(await killAfter(child, 30_000, 30_000), true)
    assert.deepEqual(child.end, { status: 0, signal: null })
  })

  it('kills a process that does not', async () => {
    const child = shell('trap "" TERM; echo ready; exec sleep 600')
    let ready = false
    child.stdout?.on('data', () => (ready = true))
    await eventually('it ignores SIGTERM', () => ready)
    child.signal('SIGTERM')
    assert.equal(await killAfter(child, 20, 30_000), true)
    assert.deepEqual(child.end, { status: null, signal: 'SIGKILL' })
  })

  it('gives up on a process that SIGKILL does not end in time', async () => {
    const asked: number[] = []
    let kills = 0
    const stuck = {
      endsWithin: (time: number) => Promise.resolve(asked.push(time) > 2),
      kill: () => {
        kills++
      },
    }
    assert.equal(await killAfter(stuck, 100, 20), false)
    assert.equal(kills, 1)
    assert.equal(asked[0], 20, 'the grace period is part of the time')
  })
})
