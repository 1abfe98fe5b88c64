import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { PreparedFiles } from '../../src/os/prepared-files.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())

/** Our descriptors of files without a name in a folder. */
function nameless(folder: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith(`${folder}/`) && target.endsWith('(deleted)')
    } catch {
      return false
    }
  }).length
}

async function prepared(folder: string): Promise<PreparedFiles> {
  const files = new PreparedFiles(libc, folder)
  files.prepare()
  await eventually('files are ready', () => nameless(folder) >= 16)
  return files
}

describe('PreparedFiles', () => {
  it('writes a file with all of its text and nothing else, mode 0600, and replaces it', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const files = await prepared(folder)
    assert.deepEqual(readdirSync(folder), [])
    for (const text of ['first\n', 'a longer second one\n', 'é\n', '']) {
      files.write(join(folder, 'a'), text)
      assert.equal(readFileSync(join(folder, 'a'), 'utf8'), text)
      assert.equal(statSync(join(folder, 'a')).mode & 0o7777, 0o600)
    }
    assert.deepEqual(readdirSync(folder), ['a'])
  })

  it('uses what is ready, and makes more', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const files = await prepared(folder)
    for (let i = 0; i < 40; i++) files.write(join(folder, String(i)), `${i}`)
    await eventually('more are ready', () => nameless(folder) >= 16)
    assert.deepEqual(
      Array.from({ length: 40 }, (_, i) => readFileSync(join(folder, String(i)), 'utf8')),
      Array.from({ length: 40 }, (_, i) => `${i}`),
    )
  })

  it('writes without: before any is ready, more than fits, into a folder that is gone, on another file system', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const unready = new PreparedFiles(libc, folder)
    unready.write(join(folder, 'early'), 'early')
    assert.equal(readFileSync(join(folder, 'early'), 'utf8'), 'early')

    const files = await prepared(folder)
    const long = 'x'.repeat(5000)
    files.write(join(folder, 'long'), long)
    assert.equal(readFileSync(join(folder, 'long'), 'utf8'), long)

    const gone = join(folder, 'gone')
    mkdirSync(gone)
    rmSync(gone, { recursive: true })
    files.write(join(gone, 'a'), 'made anew')
    assert.equal(readFileSync(join(gone, 'a'), 'utf8'), 'made anew')

    const elsewhere = `/dev/shm/dummy-fuse-test-${process.pid}`
    try {
      files.write(elsewhere, 'elsewhere')
      assert.equal(readFileSync(elsewhere, 'utf8'), 'elsewhere')
    } finally {
      rmSync(elsewhere, { force: true })
    }
  })

  it('writes where files without a name cannot be had, and leaves no descriptor', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const files = new PreparedFiles(libc, '/proc')
    files.prepare()
    files.write(join(folder, 'a'), 'text')
    assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'text')
    assert.equal(nameless(folder), 0)
  })

  it('tells what is wrong as a plain write does', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('files')
    const files = await prepared(folder)
    files.write(join(folder, 'a'), 'a file')
    assert.throws(
      () => {
        files.write(join(folder, 'a/b'), 'text')
      },
      (error) => error instanceof Error && 'code' in error && error.code === 'ENOTDIR',
    )
  })
})
