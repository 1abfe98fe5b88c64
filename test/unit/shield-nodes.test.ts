import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { DirectorySnapshot } from '../../src/shield/directory-snapshot.ts'
import { HandleTable } from '../../src/shield/handles.ts'
import { DIRENT } from '../../src/shield/messages.ts'
import { NodeTable } from '../../src/shield/nodes.ts'
import { ShieldState } from '../../src/shield/state.ts'

/** A warning that must not come. */
const neverCalled = (why?: string): never => {
  throw new Error(why)
}

const FILE = 0o100644

const newState = (): ShieldState => ShieldState.create(new Libc(new AddonLoader()), neverCalled)
const DIRECTORY = 0o40755

/** A table that notes what the daemon is told to forget. */
function table(stableInodes = false) {
  const forgotten: (readonly [bigint, number])[] = []
  const nodes = new NodeTable(stableInodes, (daemonId, lookups) => forgotten.push([daemonId, lookups]), newState())
  nodes.begin()
  return { nodes, forgotten }
}

const found = (daemonId: bigint, mode = FILE, ino = daemonId): { daemonId: bigint; ino: bigint; mode: number } => ({
  daemonId,
  ino,
  mode,
})

describe("the shield's nodes", () => {
  it('keep their ids when another daemon has other ones', () => {
    const { nodes } = table()
    const folder = nodes.found(nodes.root, 'folder', found(7n, DIRECTORY))
    const file = nodes.found(folder, 'file', found(8n))
    nodes.begin()
    assert.deepEqual([nodes.isCurrent(nodes.root), nodes.isCurrent(folder), nodes.isCurrent(file)], [true, false, false])
    assert.equal(nodes.found(nodes.root, 'folder', found(80n, DIRECTORY)), folder)
    assert.equal(nodes.found(folder, 'file', found(70n)), file)
    assert.deepEqual([folder.daemonId, file.daemonId], [80n, 70n])
  })

  it('are one for two names of one file, which is found by either', () => {
    const { nodes } = table()
    const file = nodes.found(nodes.root, 'one', found(8n))
    assert.equal(nodes.found(nodes.root, 'two', found(8n)), file)
    nodes.absent(nodes.root, 'one')
    assert.deepEqual(
      file.links.map(({ name }) => name),
      ['two'],
    )
  })

  it('stay the same where a daemon has a new id for a file each time, which it is told to forget with the file', () => {
    const { nodes, forgotten } = table()
    const ids = Array.from({ length: 3 }, (_, number) => BigInt(8 + number))
    const [file, ...same] = ids.map((id) => nodes.found(nodes.root, 'f', found(id, FILE, 77n)))
    assert.ok(file !== undefined && same.every((node) => node === file))
    assert.deepEqual([file.daemonId, nodes.byDaemonId(8n), forgotten.length], [10n, file, 0])
    nodes.dropUnused(file)
    assert.deepEqual(forgotten.toSorted(), [
      [10n, 1],
      [8n, 1],
      [9n, 1],
    ])
  })

  it('have the ids forgotten that a daemon has replaced long ago, but not one by which the file is open', () => {
    const { nodes, forgotten } = table()
    const handles = new HandleTable(newState())
    handles.begin()
    const file = nodes.found(nodes.root, 'f', found(1000n, FILE, 77n))
    const handle = handles.add(file, { uid: 0, gid: 0, pid: 0 }, 0)
    handles.opened(handle, 1000n, 5n)
    for (let id = 1001n; id < 1200n; id++) nodes.found(nodes.root, 'f', found(id, FILE, 77n))
    assert.ok(forgotten.length > 100)
    assert.ok(forgotten.every(([id]) => id !== 1000n))
  })

  it('lose a name that another file has', () => {
    const { nodes } = table()
    const before = nodes.found(nodes.root, 'f', found(8n))
    const after = nodes.found(nodes.root, 'f', found(9n))
    assert.notEqual(after, before)
    assert.deepEqual([before.links.length, after.links.length], [0, 1])
  })

  it('are not taken for a file of another type, or of another inode number where these are stable', () => {
    for (const [isStable, other, isSame] of [
      [false, found(8n, DIRECTORY), false],
      [false, found(8n, FILE, 2n), true],
      [true, found(8n, FILE, 2n), false],
      [true, found(9n, FILE, 1n), true],
    ] as const) {
      const { nodes } = table(isStable)
      const file = nodes.found(nodes.root, 'f', found(5n, FILE, 1n))
      nodes.begin()
      assert.equal(nodes.found(nodes.root, 'f', other) === file, isSame)
    }
  })

  it('are forgotten with their parents once the kernel has forgotten them, and the daemon is told how often it told of them', () => {
    const { nodes, forgotten } = table()
    const folder = nodes.found(nodes.root, 'folder', found(7n, DIRECTORY))
    const file = nodes.found(folder, 'file', found(8n))
    nodes.found(folder, 'file', found(8n))
    nodes.told(file)
    nodes.dropUnused(folder)
    nodes.dropUnused(file)
    assert.deepEqual(forgotten, [])
    nodes.forgotten(file, 1)
    assert.deepEqual(forgotten, [
      [8n, 2],
      [7n, 1],
    ])
    assert.deepEqual([nodes.byId(file.id), nodes.byId(folder.id), nodes.byDaemonId(8n)], [undefined, undefined, undefined])
    assert.equal(nodes.root.hasChildren, false)
  })
})

/** struct fuse_dirent. */
function dirent(ino: bigint, offset: bigint, name: string): Buffer {
  const bytes = Buffer.alloc((DIRENT.name + name.length + 7) & ~7)
  bytes.writeBigUInt64LE(ino, DIRENT.ino)
  bytes.writeBigUInt64LE(offset, DIRENT.offset)
  bytes.writeUInt32LE(name.length, DIRENT.nameLength)
  bytes.write(name, DIRENT.name, 'latin1')
  return bytes
}

describe("the shield's listing of a directory", () => {
  const shown = (): boolean => false
  const listed = (snapshot: DirectorySnapshot, place: bigint, size: number): readonly string[] => {
    const reply = Buffer.alloc(4096)
    const length = snapshot.write(reply, 1n, place, size, (_name, daemons) => daemons)
    const again = new DirectorySnapshot()
    again.add(reply.subarray(16, length), shown)
    const names: string[] = []
    again.write(reply, 1n, 0n, 4096, (name) => {
      names.push(name)
      return 1n
    })
    return names
  }

  it('goes on from a place of its own, whatever places the daemon has', () => {
    const snapshot = new DirectorySnapshot()
    assert.equal(snapshot.add(Buffer.concat([dirent(1n, 500n, 'a'), dirent(2n, 3n, 'b')]), shown), 3n)
    assert.equal(snapshot.add(dirent(3n, 77n, 'c'), shown), 77n)
    assert.equal(snapshot.add(Buffer.alloc(0), shown), undefined)
    assert.deepEqual(listed(snapshot, 0n, 64), ['a', 'b'])
    assert.deepEqual(listed(snapshot, 2n, 64), ['c'])
    assert.deepEqual(listed(snapshot, 3n, 64), [])
  })

  it('leaves out what is hidden', () => {
    const snapshot = new DirectorySnapshot()
    assert.equal(
      snapshot.add(Buffer.concat([dirent(1n, 1n, 'a'), dirent(2n, 2n, 'b'), dirent(3n, 3n, 'c')]), (name) => name === 'b'),
      3n,
    )
    assert.deepEqual(listed(snapshot, 0n, 4096), ['a', 'c'])
  })

  it('leaves out an entry that its reply cuts off', () => {
    const snapshot = new DirectorySnapshot()
    const both = Buffer.concat([dirent(1n, 1n, 'a'), dirent(2n, 2n, 'a-longer-name')])
    assert.equal(snapshot.add(both.subarray(0, 32 + DIRENT.name + 5), shown), 1n)
    assert.equal(snapshot.add(dirent(2n, 2n, 'a-longer-name'), shown), 2n)
    assert.deepEqual(listed(snapshot, 0n, 4096), ['a', 'a-longer-name'])
  })
})
