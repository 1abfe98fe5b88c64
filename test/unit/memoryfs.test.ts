import assert from 'node:assert/strict'
import { constants } from 'node:fs'
import { describe, it } from 'node:test'
import { MemoryFs } from '../../src/dummyfs/memoryfs.ts'
import { BLOCK } from '../../src/dummyfs/space.ts'
import { type NodeId, ROOT_ID } from '../../src/fuse/filesystem.ts'
import { dummyFileSystem } from '../../src/programs/file-systems.ts'

const OWNER = { uid: 0, gid: 0 }
const FILE = { ...OWNER, mode: constants.S_IFREG | 0o644 }
const FOLDER = { ...OWNER, mode: 0o755 }

function memory({ blocks = 16, idBase = 0n, greeting = false } = {}): MemoryFs {
  return new MemoryFs({ size: blocks * BLOCK, ...OWNER, umask: 0o022, idBase, greeting })
}

function make(fs: MemoryFs, name: string, parent: NodeId = ROOT_ID): NodeId {
  return fs.create(parent, name, FILE, 0).nodeid
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

function namesAfter(fs: MemoryFs, offset: number): readonly string[] {
  return [...fs.readdir(ROOT_ID, offset)].map(({ name }) => name)
}

describe('MemoryFs', () => {
  it('keeps a node without a name as long as the kernel uses it, and gives its room back then', () => {
    const fs = memory()
    const before = fs.statfs()
    const file = make(fs, 'file')
    fs.remember(file)
    fs.remember(file)
    fs.write(file, 0, Buffer.alloc(3 * BLOCK, 'x'))
    fs.unlink(ROOT_ID, 'file')
    assert.equal(fs.getattr(file).nlink, 0)
    assert.equal(fs.statfs().blocksFree, before.blocksFree - 3)
    fs.forget(file, 1n)
    assert.equal(text(fs.read(file, BLOCK, 2)), 'xx')
    fs.forget(file, 1n)
    assert.throws(() => fs.getattr(file), { code: 'ESTALE' })
    assert.deepEqual(fs.statfs(), before)
  })

  it('keeps a node with a name when the kernel forgets it, however often', () => {
    const fs = memory()
    const file = make(fs, 'file')
    fs.forget(file, 100n)
    fs.forget(ROOT_ID, 100n)
    fs.forget(999n as NodeId, 1n)
    assert.equal(fs.lookup(ROOT_ID, 'file')?.nodeid, file)
    fs.unlink(ROOT_ID, 'file')
    assert.throws(() => fs.getattr(file), { code: 'ESTALE' })
  })

  it('gives each name that stays once to a reader that goes on, whatever is made, moved and removed meanwhile', () => {
    const fs = memory()
    for (const name of ['a', 'b', 'c', 'd']) make(fs, name)
    const [, , first, second] = [...fs.readdir(ROOT_ID)]
    assert.deepEqual([first?.name, second?.name], ['a', 'b'])
    fs.unlink(ROOT_ID, 'a')
    make(fs, 'e')
    fs.rename(ROOT_ID, 'b', ROOT_ID, 'f', 0)
    assert.deepEqual(namesAfter(fs, second?.offset ?? 0), ['c', 'd', 'e', 'f'])
    assert.deepEqual(namesAfter(fs, 0).slice(0, 3), ['.', '..', 'c'])
    assert.deepEqual(namesAfter(fs, 1), ['..', 'c', 'd', 'e', 'f'])
  })

  it('writes as much as there is room for, and no byte without room', () => {
    const fs = memory({ blocks: 2 })
    const file = make(fs, 'file')
    assert.equal(fs.write(file, 100, Buffer.alloc(3 * BLOCK, 'x')), 2 * BLOCK - 100)
    assert.throws(() => fs.write(file, 2 * BLOCK, Buffer.from('x')), { code: 'ENOSPC' })
    assert.equal(fs.getattr(file).size, 2 * BLOCK)
    fs.setattr(file, { size: BLOCK + 1 })
    assert.equal(fs.statfs().blocksFree, 0)
    fs.setattr(file, { size: BLOCK })
    assert.equal(fs.statfs().blocksFree, 1)
    assert.throws(
      () => {
        fs.fallocate(file, 0, 0, 3 * BLOCK)
      },
      { code: 'ENOSPC' },
    )
    assert.equal(fs.statfs().blocksFree, 1, 'all or nothing')
    assert.throws(() => fs.write(file, Number.MAX_SAFE_INTEGER, Buffer.from('x')), { code: 'EFBIG' })
  })

  it('limits the number of nodes and names, and counts right whatever fails', () => {
    const fs = memory({ blocks: 4 })
    const { files, filesFree, blocksFree } = fs.statfs()
    assert.equal(filesFree, files)
    for (let index = 0; index < files; index++) make(fs, `file-${index}`)
    const first = fs.lookup(ROOT_ID, 'file-0')?.nodeid ?? ROOT_ID
    for (const act of [
      () => fs.mkdir(ROOT_ID, 'folder', FOLDER),
      () => fs.symlink(ROOT_ID, 'link', 'target', OWNER),
      () => fs.link(first, ROOT_ID, 'name'),
    ])
      assert.throws(act, { code: 'ENOSPC' })
    assert.throws(() => fs.symlink(ROOT_ID, 'file-0', 'target', OWNER), { code: 'EEXIST' })
    assert.equal(fs.statfs().blocksFree, blocksFree)
    fs.unlink(ROOT_ID, 'file-1')
    fs.link(first, ROOT_ID, 'name')
    assert.equal(fs.statfs().filesFree, 0)
    fs.unlink(ROOT_ID, 'name')
    assert.equal(fs.statfs().filesFree, 1)
  })

  it('makes no name and no link of bytes that are not UTF-8, which could not be told apart', () => {
    const fs = memory()
    const name = Buffer.from([0x61, 0xff]).toString()
    assert.throws(() => make(fs, name), { code: 'EILSEQ' })
    assert.throws(() => fs.symlink(ROOT_ID, 'link', name, OWNER), { code: 'EILSEQ' })
    assert.equal(fs.lookup(ROOT_ID, name), undefined)
  })
})

describe('dummyFileSystem', () => {
  const writable = { size: 16 * BLOCK, ...OWNER, umask: 0 }

  it('knows no node of an earlier one of the same session', () => {
    const first = dummyFileSystem({ faults: [], writable, inherited: false })
    const file = first.lookup(ROOT_ID, 'dummy-file.txt')?.nodeid
    assert.ok(file !== undefined)
    const bases = new Set<bigint>()
    for (let successor = 0; successor < 100; successor++) {
      const next = dummyFileSystem({ faults: [], writable, inherited: true })
      assert.ok(next instanceof MemoryFs)
      assert.equal(next.lookup(ROOT_ID, 'dummy-file.txt'), undefined)
      assert.throws(() => next.getattr(file), { code: 'ESTALE' })
      bases.add(make(next, 'file') >> 33n)
    }
    assert.equal(bases.size, 100)
  })

  it('is slow at reads where it is asked to be, and a file system of its own otherwise', async () => {
    const slow = dummyFileSystem({ faults: ['read-delay=0.01'], writable, inherited: false })
    assert.ok(slow instanceof MemoryFs)
    const { nodeid } = slow.lookup(ROOT_ID, 'dummy-file.txt') ?? {}
    const bytes = slow.read(nodeid ?? ROOT_ID, 0, 5) as Uint8Array | Promise<Uint8Array>
    assert.ok(bytes instanceof Promise)
    assert.equal(text(await bytes), 'Hello')
    assert.equal(slow.write(nodeid ?? ROOT_ID, 0, Buffer.from('J')), 1)
  })
})
