import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { run } from '../../src/os/processes/run.ts'
import { Sandbox } from '../support/sandbox.ts'

describe('run', () => {
  it('gives a program that waits for what it was asked for its time once', async () => {
    const result = await run('sleep', ['60'], 50, () => true)
    assert.equal(result.kind, 'timeout')
    await result.gone
  })

  it('gives a program that does not wait its time again, and takes its answer', async () => {
    await using sandbox = new Sandbox()
    const go = join(sandbox.path, 'go')
    const script = 'until [ -e "$0" ]; do sleep 0.02; done; echo late'
    // It is late for sure: it goes on when its time was over once.
    const result = await run('sh', ['-c', script, go], 2000, () => {
      writeFileSync(go, '')
      return false
    })
    assert.equal(result.kind, 'exited')
    assert.equal(result.stdout, 'late\n')
  })

  it('kills a program that never does what it was asked for', async () => {
    let asked = 0
    const result = await run('sleep', ['60'], 20, () => {
      asked++
      return false
    })
    assert.equal(result.kind, 'killed')
    assert.equal(asked, 5)
    await result.gone
  })
})
