import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Checks } from '../../src/lab/checks.ts'
import { type Check, outcomeOf } from '../../src/lab/scenario-record.ts'
import { until, within } from '../../src/lab/wait.ts'

function collected(): { checks: Checks; all: Check[] } {
  const all: Check[] = []
  return { checks: new Checks((check) => all.push(check)), all }
}

describe("the lab's checks", () => {
  it('compare texts as a whole, and patterns where they match', () => {
    const { checks, all } = collected()
    checks.see('same', 'dead', 'dead')
    checks.see('part', 'dead end', 'dead')
    checks.see('match', 'dead end', /^dead/, 'something dead')
    checks.see('no match', 'alive', /^dead/, 'something dead')
    assert.deepEqual(all, [
      { name: 'same', expected: 'dead', seen: 'dead', passed: true },
      { name: 'part', expected: 'dead', seen: 'dead end', passed: false },
      { name: 'match', expected: 'something dead', seen: 'dead end', passed: true },
      { name: 'no match', expected: 'something dead', seen: 'alive', passed: false },
    ])
  })

  it('look again until they see what is expected', async () => {
    const { checks, all } = collected()
    let looks = 0
    await checks.comeToSee('three', () => String(++looks), /^3$/, 'the third look')
    assert.deepEqual(all, [{ name: 'three', expected: 'the third look', seen: '3', passed: true }])
  })

  it('tell the last look when they wait in vain', async () => {
    const { checks, all } = collected()
    await checks.comeToSee('never', () => Promise.resolve('alive'), /dead/, 'dead', 50)
    assert.deepEqual(all, [{ name: 'never', expected: 'dead', seen: 'alive', passed: false }])
  })

  it('make a scenario come out as expected only if there are any and all passed', () => {
    const passed = { name: '', expected: '', seen: '', passed: true }
    assert.equal(outcomeOf([passed, passed]), 'as expected')
    assert.equal(outcomeOf([passed, { ...passed, passed: false }]), 'not as expected')
    assert.equal(outcomeOf([]), 'not as expected')
  })
})

describe("the lab's patience", () => {
  it('ends with an error that names what it waited for', async () => {
    await assert.rejects(
      until('the moon', () => false, 40),
      { message: 'waited 0.04 s in vain: the moon' },
    )
    const never = new Promise<never>(() => undefined)
    await assert.rejects(within('the sun', never, 40), { message: 'waited 0.04 s in vain: the sun' })
  })

  it('is not used up when the condition fails with an error of its own', async () => {
    const broken = (): never => {
      throw new Error('broken')
    }
    await assert.rejects(until('anything', broken), { message: 'broken' })
    await assert.rejects(within('anything', Promise.reject(new Error('broken'))), { message: 'broken' })
  })

  it('returns what came', async () => {
    assert.equal(await until('seven', () => 7), 7)
    assert.equal(await within('eight', Promise.resolve(8)), 8)
  })
})
