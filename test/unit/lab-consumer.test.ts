import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Consumer } from '../../src/lab/consumer/consumer.ts'
import type { ConsumerLine } from '../../src/lab/consumer/line.ts'
import { isOnFuse } from '../../src/lab/consumer/on-fuse.ts'
import { RecordReader, recordsIn, RecordWriter } from '../../src/lab/consumer/record-files.ts'
import { missingFrom } from '../../src/lab/consumer/record-ranges.ts'
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

/** Finds no file. */
const NO_FILE = {
  read: (): number => {
    throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
  },
}

describe('a consumer that finds no file on a FUSE mount', () => {
  it("says so, and makes none: that is the volume, and not the node's own disk", async () => {
    await using sandbox = new Sandbox()
    const lines: ConsumerLine[] = []
    const options = { file: join(sandbox.path, 'file'), expected: Buffer.from(CONTENT), interval: 1, exitOnError: true }
    const consumer = new Consumer(
      NO_FILE,
      options,
      (line) => lines.push(line),
      () => true,
    )
    assert.equal(await consumer.run(), 1)
    assert.deepEqual(
      lines.flatMap((line) => ('saw' in line ? [line.saw] : 'wrote' in line ? ['wrote'] : [])),
      ['MISSING'],
    )
    assert.deepEqual(readdirSync(sandbox.path), [])
  })

  it('takes back what it made if the volume came back before that, and makes another one when it finds no file again', async () => {
    await using sandbox = new Sandbox()
    const said: string[] = []
    const options = { file: join(sandbox.path, 'file'), expected: Buffer.from(CONTENT), interval: 1, exitOnError: false }
    let looks = 0
    const onFuse = (path: string): boolean => {
      if (!path.startsWith('/proc/self/fd/')) return false
      looks++
      // What was made is there still.
      assert.equal(readdirSync(sandbox.path).length, 1)
      return looks === 1
    }
    const consumer = new Consumer(
      NO_FILE,
      options,
      (line) => {
        if ('saw' in line) said.push(`${line.saw}, ${readdirSync(sandbox.path).length}`)
        else if ('wrote' in line) said.push('wrote')
        if (said.length === 4) throw new Error('enough')
      },
      onFuse,
    )
    await assert.rejects(consumer.run(), /enough/)
    assert.deepEqual(said, ['ENOENT, 0', 'ENOENT, 0', 'wrote', 'ENOENT, 1'])
    assert.equal(looks, 2)
  })

  it('knows a folder of the disk, also below one that is not there', async () => {
    await using sandbox = new Sandbox()
    assert.deepEqual(
      ['file', 'none/file'].map((name) => isOnFuse(join(sandbox.path, name))),
      [false, false],
    )
  })
})

describe('the records of a consumer that writes', () => {
  /** Writes rounds of records into a folder. Returns the names of the files, and what was told. */
  function written(folder: string, rounds: number): { readonly files: readonly string[]; readonly lines: readonly ConsumerLine[] } {
    const lines: ConsumerLine[] = []
    const writer = new RecordWriter(folder, (line) => lines.push(line))
    for (let round = 0; round < rounds; round++) assert.equal(writer.round(), 'right')
    return { files: lines.flatMap((line) => ('acknowledged' in line && line.acknowledged === 0 ? [line.file] : [])), lines }
  }

  /** What a reader tells of a file. */
  function found(folder: string, files: readonly string[]): readonly ConsumerLine[] {
    const lines: ConsumerLine[] = []
    const reader = new RecordReader(folder, files, (line) => lines.push(line))
    reader.look()
    reader.look()
    return lines
  }

  it('are found again, told once, and missed where they are gone, damaged or of another file', async () => {
    await using sandbox = new Sandbox()
    const { files, lines } = written(sandbox.path, 5)
    assert.equal(lines.length, 15)
    const [one = '', two = '', three = ''] = files
    assert.deepEqual(
      found(sandbox.path, files),
      files.map((file) => ({ file, found: [[0, 4]] })),
    )
    const bytes = readFileSync(join(sandbox.path, one))
    const length = bytes.length / 5
    bytes.fill(0, 2 * length, 2 * length + 1)
    writeFileSync(join(sandbox.path, one), bytes)
    writeFileSync(join(sandbox.path, two), bytes)
    rmSync(join(sandbox.path, three))
    const ranges: [number, number][] = [
      [0, 1],
      [3, 4],
    ]
    assert.deepEqual(found(sandbox.path, files), [
      { file: one, found: ranges },
      { file: two, found: [] },
      { file: three, found: [] },
    ])
    assert.deepEqual(recordsIn(one, bytes.subarray(0, length - 1)), [])
    assert.deepEqual(
      [missingFrom(ranges, 5), missingFrom(ranges, 2), missingFrom([], 2), missingFrom([[0, 9]], 5)],
      [[2], [], [0, 1], []],
    )
  })

  it('are refused with the name of the error, and written again at their place', async () => {
    await using sandbox = new Sandbox()
    const folder = join(sandbox.path, 'volume')
    const lines: ConsumerLine[] = []
    const writer = new RecordWriter(folder, (line) => lines.push(line))
    assert.equal(writer.round(), 'ENOENT')
    mkdirSync(folder)
    assert.equal(writer.round(), 'right')
    assert.deepEqual(
      lines.map((line) => ('refused' in line ? line.refused : 'acknowledged' in line ? line.acknowledged : 'none')),
      ['ENOENT', 'ENOENT', 'ENOENT', 0, 0, 0],
    )
  })

  it('that cannot be read back are no records that are missing', async () => {
    await using sandbox = new Sandbox()
    mkdirSync(join(sandbox.path, 'folder'))
    assert.deepEqual(found(sandbox.path, ['folder']), [{ file: 'folder', unreadable: 'EISDIR' }])
  })

  it('come only when a read has shown that the volume is there', async () => {
    await using sandbox = new Sandbox()
    const said: string[] = []
    const tell = (line: ConsumerLine): void => {
      said.push(Object.keys(line)[0] ?? '')
      if (said.length >= 12) throw new Error('enough')
    }
    const held = ['Jello', CONTENT]
    const options = { file: join(sandbox.path, 'file'), expected: Buffer.from(CONTENT), interval: 1, exitOnError: false }
    const writer = new RecordWriter(sandbox.path, tell)
    const consumer = new Consumer({ read: (into) => into.write(held.shift() ?? '') }, { ...options, writer }, tell)
    await assert.rejects(consumer.run(), /enough/)
    const round = ['began', 'acknowledged', 'acknowledged', 'acknowledged', 'ended']
    assert.deepEqual(said, ['began', 'ended', 'began', 'ended', ...round, ...round.slice(0, 3)])
  })
})
