import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Logger } from '../../src/log.ts'
import { FailedStarts } from '../../src/programs/fused/failed-starts.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Whether a failed start waits; the wait itself is cut short. */
async function waits(failed: FailedStarts): Promise<boolean> {
  const told = Promise.withResolvers<undefined>()
  let over = false
  const waiting = failed.wait(told.promise).then(() => (over = true))
  await new Promise(setImmediate)
  const waited = !over
  told.resolve(undefined)
  await waiting
  return waited
}

/** A start of a process that fails. */
async function start(stateDir: string): Promise<boolean> {
  const failed = new FailedStarts(stateDir)
  failed.count()
  return await waits(failed)
}

describe('FailedStarts', () => {
  it('lets two failed starts end at once and puts off the third', async () => {
    await using sandbox = new Sandbox()
    assert.deepEqual([await start(sandbox.path), await start(sandbox.path), await start(sandbox.path)], [false, false, true])
  })

  it('begins anew after a start that succeeded', async () => {
    await using sandbox = new Sandbox()
    for (let round = 0; round < 4; round++) await start(sandbox.path)
    new FailedStarts(sandbox.path).forget(new Logger(() => undefined))
    assert.equal(await start(sandbox.path), false)
  })

  it('waits each time where starts cannot be counted', async () => {
    await using sandbox = new Sandbox()
    const noFolder = join(sandbox.path, 'file')
    writeFileSync(noFolder, '')
    assert.deepEqual([await start(noFolder), await start(noFolder)], [true, true])
    const noFile = sandbox.directory('state')
    mkdirSync(join(noFile, 'failed-starts'))
    assert.equal(await start(noFile), true)
  })

  it('counts from the beginning when the file holds no number', async () => {
    await using sandbox = new Sandbox()
    writeFileSync(join(sandbox.path, 'failed-starts'), 'many')
    assert.equal(await start(sandbox.path), false)
    assert.equal(readFileSync(join(sandbox.path, 'failed-starts'), 'utf8'), '1')
  })

  it('warns of a count that cannot be removed, and goes on', async () => {
    await using sandbox = new Sandbox()
    const lines: string[] = []
    const file = join(sandbox.path, 'failed-starts')
    mkdirSync(file)
    new FailedStarts(sandbox.path).forget(new Logger((line) => lines.push(line)))
    assert.match(lines.join('\n'), /cannot remove .*failed-starts: /)
    rmSync(file, { recursive: true })
  })
})
