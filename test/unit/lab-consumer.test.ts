import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Consumer } from '../../src/lab/consumer/consumer.ts'
import { Sandbox } from '../support/sandbox.ts'

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

describe('a consumer that finds no file', () => {
  it('makes one, and again when it has read right in between', async () => {
    await using sandbox = new Sandbox()
    const held = ['none', 'none', CONTENT, 'none', CONTENT, '']
    const way = {
      read: (into: Buffer): number => {
        const next = held.shift() ?? ''
        if (next !== 'none') return into.write(next)
        throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
      },
    }
    const said: string[] = []
    const options = { file: join(sandbox.path, 'file'), expected: Buffer.from(CONTENT), interval: 1, exitOnError: false }
    const consumer = new Consumer(way, options, (line) => {
      if ('saw' in line) said.push(line.saw)
      else if ('wrote' in line) said.push('wrote')
      if (said.at(-1) === 'SHORT') throw new Error('enough')
    })
    await assert.rejects(consumer.run(), /enough/)
    assert.deepEqual(said, ['ENOENT', 'wrote', 'ENOENT', 'right', 'ENOENT', 'wrote', 'right', 'SHORT'])
  })
})
