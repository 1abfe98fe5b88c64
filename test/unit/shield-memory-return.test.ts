import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryReturn } from '../../src/shield/memory-return.ts'

const MIB = 1024 * 1024

/** One whose looks are the test's, of a log of so many MiB. */
function measured(size: number) {
  const log = { size: size * MIB, noted: 0 }
  let collections = 0
  const memory = new MemoryReturn(log, () => collections++)
  /** How often was collected after one more look, at which so many MiB have been noted in all. */
  const look = (noted: number): number => {
    log.noted = noted * MIB
    memory.look()
    return collections
  }
  return look
}

void describe('the memory of files that came and went', () => {
  void it('is given back once, when no more do', () => {
    const look = measured(1)
    assert.deepEqual([look(0), look(20), look(40), look(40), look(40), look(40)], [0, 0, 0, 1, 1, 1])
  })

  void it('is given back while few more do', () => {
    const look = measured(1)
    assert.deepEqual([look(40), look(40.05), look(40.1)], [0, 1, 1])
  })

  void it('is kept where it is little, or a small part of what is there', () => {
    const few = measured(1)
    assert.deepEqual([few(1), few(1), few(3), few(3)], [0, 0, 0, 1])
    const many = measured(100)
    assert.deepEqual([many(20), many(20), many(26), many(26)], [0, 0, 0, 1])
  })

  void it('is not counted twice', () => {
    const look = measured(1)
    assert.deepEqual([look(10), look(10), look(11), look(11), look(12), look(12)], [0, 1, 1, 1, 1, 2])
  })
})
