import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryReturn } from '../../src/shield/memory-return.ts'

const MIB = 1024 * 1024

/** One whose looks are the test's. */
function measured(size: number) {
  const log = { size: size * MIB, shed: 0 }
  let collections = 0
  const memory = new MemoryReturn(log, () => collections++)
  /** How often was collected after one more look, at which so many MiB have been shed in all. */
  const look = (shed: number): number => {
    log.shed = shed * MIB
    memory.look()
    return collections
  }
  return { log, look }
}

void describe('the memory of files that are forgotten', () => {
  void it('is given back once, when no more are forgotten', () => {
    const { look } = measured(1)
    assert.deepEqual([look(0), look(20), look(40), look(40), look(40), look(40)], [0, 0, 0, 1, 1, 1])
  })

  void it('is kept where it is little, or less than what is there', () => {
    const few = measured(1)
    assert.deepEqual([few.look(1), few.look(1), few.look(3), few.look(3)], [0, 0, 0, 1])
    const many = measured(100)
    assert.deepEqual([many.look(90), many.look(90), many.look(100), many.look(100)], [0, 0, 0, 1])
  })

  void it('is not counted twice', () => {
    const { look } = measured(1)
    assert.deepEqual([look(10), look(10), look(11), look(11), look(12), look(12)], [0, 1, 1, 1, 1, 2])
  })
})
