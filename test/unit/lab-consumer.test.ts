import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Consumer } from '../../src/lab/consumer/consumer.ts'

const CONTENT = 'Hello world!\n'

/** What a consumer that ends with its first bad read says of that read. */
async function sawOf(held: string): Promise<readonly string[]> {
  const said: string[] = []
  const consumer = new Consumer(
    { read: (into) => into.write(held) },
    { file: '/nowhere/file', expected: Buffer.from(CONTENT), interval: 1, exitOnError: true },
    (line) => {
      if ('saw' in line) said.push(line.saw)
    },
  )
  assert.equal(await consumer.run(), 1)
  return said
}

describe('a read of a consumer', () => {
  for (const [held, saw] of [
    ['', 'SHORT'],
    ['Hello', 'SHORT'],
    ['Jello', 'wrong'],
    [`${CONTENT}!`, 'wrong'],
    ['Hello world?\n', 'wrong'],
  ] as const) {
    it(`that brings ${JSON.stringify(held)} is ${saw}`, async () => {
      assert.deepEqual(await sawOf(held), [saw])
    })
  }
})
