import assert from 'node:assert/strict'
import fs, { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { Logger } from '../../src/log.ts'
import { DelayedFsync } from '../../src/os/descriptors/delayed-fsync.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** Collects the paths of what is synced from now on; `failing` lets the disk refuse one of them. */
function watchSyncs(t: TestContext, failing?: string): string[] {
  const synced: string[] = []
  const { fsync } = fs
  t.mock.method(fs, 'fsync', (fd: number, done: fs.NoParamCallback) => {
    const path = readlinkSync(`/proc/self/fd/${fd}`)
    synced.push(path)
    if (path === failing) done(Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }))
    else fsync(fd, done)
  })
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
  return synced
}

function open(): { files: DelayedFsync; lines: string[] } {
  const lines: string[] = []
  return { files: new DelayedFsync(new Logger((line) => lines.push(line))), lines }
}

describe('DelayedFsync', () => {
  it('writes a file with all of its text and nothing else, mode 0600, and replaces it', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const { files } = open()
    for (const text of ['first\n', 'a longer second one\n', 'é\n', '', 'x'.repeat(100_000)]) {
      files.write(join(folder, 'a'), text)
      assert.equal(readFileSync(join(folder, 'a'), 'utf8'), text)
      assert.equal(statSync(join(folder, 'a')).mode & 0o7777, 0o600)
    }
    assert.deepEqual(readdirSync(folder), ['a'])
  })

  it('syncs what was written together, each file once and the folder after them, also what came while it did', async (t) => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const synced = watchSyncs(t)
    const { files, lines } = open()
    for (const name of ['a', 'b', 'a']) files.write(join(folder, name), name)
    assert.equal(synced.length, 0)
    await eventually('it is synced', () => synced.includes(folder))
    assert.deepEqual(synced.splice(0), [join(folder, 'a'), join(folder, 'b'), folder])
    files.write(join(folder, 'c'), 'c')
    await eventually('that is synced too', () => synced.includes(folder))
    assert.deepEqual(synced, [join(folder, 'c'), folder])
    assert.deepEqual(lines, [])
  })

  it('warns of what the disk does not take, and syncs the rest', async (t) => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const bad = join(folder, 'bad')
    const synced = watchSyncs(t, bad)
    const { files, lines } = open()
    files.write(bad, 'bad')
    files.write(join(folder, 'good'), 'good')
    await eventually('it is synced', () => synced.includes(folder))
    assert.deepEqual(synced, [bad, join(folder, 'good'), folder])
    assert.match(lines.join(), new RegExp(`cannot sync ${bad}: EIO`))
  })

  it('says nothing of what was removed before it was synced', async (t) => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const synced = watchSyncs(t)
    const { files, lines } = open()
    files.write(join(folder, 'a'), 'a')
    rmSync(join(folder, 'a'))
    await eventually('the folder is synced', () => synced.includes(folder))
    assert.deepEqual([synced, lines], [[folder], []])
  })

  it('makes a folder that is gone, tells what is wrong with one that is a file, and leaves nothing half-written', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const { files } = open()
    files.write(join(folder, 'gone/a'), 'made anew')
    assert.equal(readFileSync(join(folder, 'gone/a'), 'utf8'), 'made anew')
    files.write(join(folder, 'file'), 'a file')
    mkdirSync(join(folder, 'taken'))
    for (const [path, code] of [
      ['file/b', 'ENOTDIR'],
      ['taken', 'EISDIR'],
    ] as const) {
      assert.throws(
        () => {
          files.write(join(folder, path), 'text')
        },
        (error) => error instanceof Error && 'code' in error && error.code === code,
      )
    }
    assert.deepEqual(readdirSync(folder).sort(), ['file', 'gone', 'taken'])
  })
})
