import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Consumer } from '../../src/lab/consumer/consumer.ts'
import { READ_METHODS } from '../../src/lab/consumer/read-methods.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { PageCalls } from '../../src/os/descriptors/mapped-file.ts'
import { Libc } from '../../src/os/libc.ts'
import { Sandbox } from '../support/sandbox.ts'

/** What a memory map sees of a file, of which `content` is expected: as it is, and after it was cut to `cut` bytes. */
async function mapped(held: string, content: string, cut?: number): Promise<readonly string[]> {
  await using sandbox = new Sandbox()
  const file = join(sandbox.path, 'file')
  writeFileSync(file, held)
  const expected = Buffer.from(content)
  const way = READ_METHODS.mapped?.(file, new PageCalls(new Libc(new AddonLoader())), expected)
  assert.ok(way !== undefined)
  const saw: string[] = []
  const consumer = new Consumer(way, { file, expected, interval: 1, exitOnError: false }, (line) => {
    if (!('saw' in line)) return
    saw.push(line.saw)
    if (saw.length === (cut === undefined ? 1 : 2)) throw new Error('enough')
    truncateSync(file, cut)
  })
  await assert.rejects(consumer.run(), /enough/)
  return saw
}

describe('a memory map', () => {
  for (const [name, content] of [
    ['of less than a page', 'Hello'],
    ['of a page', 'a'.repeat(4096)],
    ['of more than a page', 'a'.repeat(5000)],
    ['with zeros', 'a\0b\0\0'],
    ['of zeros', '\0'.repeat(4097)],
  ] as const)
    it(`reads a file ${name}`, async () => {
      assert.deepEqual(await mapped(content, content), ['right'])
    })

  it('sees another content, a part of it, and a page that is gone', async () => {
    assert.deepEqual(await mapped('Jello', 'Hello'), ['wrong'])
    assert.deepEqual(await mapped('Hello there', 'Hello'), ['wrong'])
    assert.deepEqual(await mapped('Hel', 'Hello'), ['SHORT'])
    assert.deepEqual(await mapped('a'.repeat(5000), 'a'.repeat(5000), 4096), ['right', 'SIGBUS'])
    assert.deepEqual(await mapped('a'.repeat(5000), 'a'.repeat(5000), 0), ['right', 'SIGBUS'])
  })
})
