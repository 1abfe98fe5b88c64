import assert from 'node:assert/strict'
import { writeSync } from 'node:fs'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { DirectorySnapshot } from '../../src/shield/directory-snapshot.ts'
import { HandleTable } from '../../src/shield/handles.ts'
import { HiddenFiles } from '../../src/shield/hidden-files.ts'
import { DIRENT } from '../../src/shield/messages.ts'
import { NodeTable } from '../../src/shield/nodes.ts'
import { OwnRequests } from '../../src/shield/own-requests.ts'
import { Rediscovery } from '../../src/shield/rediscovery.ts'
import { ShieldState } from '../../src/shield/state.ts'
import { StateFile } from '../../src/shield/state-file.ts'

/** A warning that must not come. */
const neverCalled = (why?: string): never => {
  throw new Error(why)
}

const libc = new Libc(new AddonLoader())
const CALLER = { uid: 1, gid: 2, pid: 3 }
const READ_WRITE = 2

/** A libc for which fallocate(2) fails: what is written anew goes to a part that is emptied first. */
class WithoutMemory extends Libc {
  override checked(name: string, ...rest: readonly unknown[]): number {
    if (name === 'fallocate') throw new Error('Cannot allocate memory')
    return super.checked(name, ...(rest as [string | undefined, string]))
  }
}

/** The tables of one process, whose state it is. */
function tablesOf(state: ShieldState) {
  const nodes = new NodeTable(false, () => undefined, state)
  const handles = new HandleTable(state)
  const own = new OwnRequests()
  const rediscovery = new Rediscovery(nodes, handles, own, { stale: neverCalled, afterChange: () => neverCalled() })
  const hidden = new HiddenFiles({ nodes, own, rediscovery, notes: state, warn: neverCalled, settled: neverCalled })
  nodes.begin()
  return { nodes, handles, hidden }
}

function newProcess() {
  const state = ShieldState.create(libc, neverCalled)
  const tables = tablesOf(state)
  state.attach(tables)
  return { state, ...tables }
}

/** What a process knows that takes over the state of another one. */
function successorOf(state: ShieldState) {
  const adopted = ShieldState.adopt(libc, state.fd, neverCalled)
  const tables = tablesOf(adopted)
  adopted.restore(tables)
  return { state: adopted, ...tables }
}

const FILE = 0o100000
const DIRECTORY = 0o40000
const found = (daemonId: bigint, mode = FILE) => ({ daemonId, ino: daemonId, mode })

/** A listing of so many names. */
function listing(count: number): DirectorySnapshot {
  const snapshot = new DirectorySnapshot()
  for (let number = 1; number <= count; number++) {
    const name = `name-${number}`
    const bytes = Buffer.alloc((DIRENT.name + name.length + 7) & ~7)
    bytes.writeBigUInt64LE(BigInt(number), DIRENT.ino)
    bytes.writeBigUInt64LE(BigInt(number), DIRENT.offset)
    bytes.writeUInt32LE(name.length, DIRENT.nameLength)
    bytes.write(name, DIRENT.name, 'latin1')
    snapshot.add(bytes, () => false)
  }
  return snapshot
}

describe("the shield's state", () => {
  it('gives a successor the nodes, their names and lookups, the open files and the session', () => {
    const { state, nodes, handles } = newProcess()
    const folder = nodes.found(nodes.root, 'folder', found(7n, DIRECTORY))
    const file = nodes.found(folder, 'file', found(8n))
    nodes.link(file, nodes.root, 'other name')
    nodes.moved(folder, 'file', nodes.root, 'moved', false)
    for (const node of [folder, file, file]) nodes.told(node)
    const handle = handles.add(file, CALLER, READ_WRITE)
    const closed = handles.add(file, CALLER, READ_WRITE)
    handles.remove(closed)
    state.add('resent')
    state.note({ mountpoint: '/m' })
    state.note({ attached: true })
    state.commit()
    // Twice: the second successor reads what the first has written anew.
    const next = successorOf(successorOf(state).state)
    const again = next.nodes.byId(file.id)
    assert.ok(again !== undefined)
    assert.deepEqual(
      again.links.map(({ parent, name }) => [parent.id, name]),
      [
        [1n, 'other name'],
        [1n, 'moved'],
      ],
    )
    assert.deepEqual([again.ino, again.type, again.opens, next.state.counts.get(again.slot)], [8n, FILE, 1, 2])
    assert.equal(next.nodes.isCurrent(again), false)
    const { caller, flags, node } = next.handles.byId(handle.id) ?? {}
    assert.deepEqual([caller, flags, node], [CALLER, READ_WRITE, again])
    assert.equal(next.handles.byId(closed.id), undefined)
    assert.ok(next.handles.add(again, CALLER, 0).id > closed.id)
    assert.deepEqual(next.state.facts, { mountpoint: '/m', attached: true })
    assert.equal(next.state.totals.resent, 1)
  })

  it('has no node that nothing refers to, and never gives its id again', () => {
    const { state, nodes } = newProcess()
    const kept = nodes.found(nodes.root, 'kept', found(7n))
    nodes.told(kept)
    const dropped = nodes.found(nodes.root, 'dropped', found(8n))
    nodes.dropUnused(dropped)
    const unlearnt = nodes.found(nodes.root, 'unlearnt', found(9n))
    state.commit()
    const next = successorOf(successorOf(state).state)
    assert.deepEqual(
      [...next.nodes.all()].map(({ id }) => id),
      [kept.id],
    )
    next.nodes.begin()
    assert.ok(next.nodes.found(next.nodes.root, 'new', found(10n)).id > unlearnt.id)
  })

  it('has all of a record or nothing', () => {
    const { state, nodes } = newProcess()
    nodes.told(nodes.found(nodes.root, 'before', found(7n)))
    state.commit()
    nodes.told(nodes.found(nodes.root, 'cut off', found(8n)))
    state.commit()
    const file = StateFile.adopt(libc, state.fd)
    file.read(() => undefined)
    // The last byte of its name is not there, as if the process had been killed before.
    writeSync(state.fd, Buffer.alloc(1), 0, 1, 2 ** 40 + 2 ** 38 + file.size - 1)
    const next = successorOf(state)
    assert.deepEqual(
      [...next.nodes.all()].map(({ links }) => links[0]?.name),
      ['before'],
    )
  })

  it('is written anew when it has grown, and stays small', () => {
    const { state, nodes, handles } = newProcess()
    const held = nodes.found(nodes.root, 'held', found(7n))
    nodes.told(held)
    const handle = handles.add(held, CALLER, 0)
    for (let number = 0; number < 60_000; number++) {
      const node = nodes.found(nodes.root, `short-lived-${number}`, found(BigInt(100 + number)))
      nodes.told(node)
      nodes.forgotten(node, 1)
      state.settle()
    }
    const file = StateFile.adopt(libc, state.fd)
    file.read(() => undefined)
    assert.ok(file.size < 2 ** 21, `${file.size} bytes`)
    nodes.told(held)
    const next = successorOf(state)
    assert.deepEqual(
      [...next.nodes.all()].map(({ id }) => id),
      [held.id],
    )
    assert.equal(next.state.counts.get(next.nodes.byId(held.id)?.slot ?? 0), 2)
    assert.equal(next.handles.byId(handle.id)?.node.id, held.id)
  })

  it('tells all nodes that the kernel knows, also when it is written anew before the last', () => {
    const { state, nodes } = newProcess()
    const held = ['one', 'two'].map((name, index) => nodes.found(nodes.root, name, found(BigInt(7 + index))))
    for (const node of held) nodes.told(node)
    const known = nodes.known()
    assert.equal(known.next().value, nodes.root)
    const before = state.counts
    for (let number = 0; state.counts === before; number++) {
      assert.ok(number < 60_000, 'it was not written anew')
      nodes.dropUnused(nodes.found(nodes.root, `${number}-${'x'.repeat(200)}`, found(BigInt(100 + number))))
      state.settle()
    }
    assert.deepEqual([...known], held)
  })

  it('has a listing that a reader has begun, however long', () => {
    const { state, nodes, handles } = newProcess()
    const handle = handles.add(nodes.root, CALLER, 0)
    const snapshot = listing(20_000)
    const size = 900_000
    const reply = Buffer.alloc(size)
    const whole = Buffer.from(
      reply.subarray(
        0,
        snapshot.write(reply, 1n, 0n, size, (_, ino) => ino),
      ),
    )
    state.listed(handle, snapshot)
    state.commit()
    const restored = successorOf(successorOf(state).state).handles.byId(handle.id)?.snapshot
    assert.ok(restored?.begun)
    assert.deepEqual(
      reply.subarray(
        0,
        restored.write(reply, 1n, 0n, size, (_, ino) => ino),
      ),
      whole,
    )
  })

  it('knows the files that are hidden or being hidden', () => {
    const { state, nodes, handles, hidden } = newProcess()
    const [first, second, third] = ['a', 'b', 'c'].map((name, index) => nodes.found(nodes.root, name, found(BigInt(7 + index))))
    assert.ok(first !== undefined && second !== undefined && third !== undefined)
    for (const node of [first, second, third]) handles.add(node, CALLER, 0)
    state.hiding(first, '.hidden-1')
    state.hiding(second, '.hidden-2')
    hidden.restore(second, '.hidden-2', CALLER)
    state.hidden(second, '.hidden-2', CALLER)
    state.hiding(third, '.hidden-3')
    state.shown(third)
    state.commit()
    const next = successorOf(successorOf(state).state)
    assert.deepEqual(
      [...next.hidden.chosen()].map(([node, name]) => [node.id, name]),
      [[first.id, '.hidden-1']],
    )
    assert.deepEqual(
      [...next.hidden.all()].map(([node, { name, caller }]) => [node.id, name, caller]),
      [[second.id, '.hidden-2', CALLER]],
    )
    assert.equal(next.hidden.hasName('.hidden-2'), true)
  })

  it('knows the names that requests have taken which have not come out', () => {
    const { state, nodes, handles, hidden } = newProcess()
    const file = nodes.found(nodes.root, 'a', found(7n))
    handles.add(file, CALLER, 0)
    hidden.restore(file, '.hidden-1', CALLER)
    state.hidden(file, '.hidden-1', CALLER)
    state.taken(10n, { file, directory: nodes.root, name: 'a' })
    state.taken(12n, { file, directory: nodes.root, name: 'a' })
    state.settled(12n)
    state.commit()
    const next = successorOf(successorOf(state).state)
    assert.equal(next.hidden.settling, true)
    const { directory, name, file: again } = next.hidden.reclaim(10n) ?? {}
    assert.deepEqual([directory, name, again?.id], [next.nodes.root, 'a', file.id])
    assert.equal(next.hidden.reclaim(12n), undefined)
    assert.equal(next.hidden.settling, false)
  })

  it('gives out no slot twice where there is no memory to write everything anew', () => {
    const { state, nodes } = newProcess()
    const held = ['one', 'two'].map((name, index) => nodes.found(nodes.root, name, found(BigInt(7 + index))))
    for (const node of held) nodes.told(node)
    state.commit()
    const lost: string[] = []
    const adopted = ShieldState.adopt(new WithoutMemory(new AddonLoader()), state.fd, (why) => lost.push(why))
    const tables = tablesOf(adopted)
    adopted.restore(tables)
    assert.equal(lost.length, 1)
    const more = tables.nodes.found(tables.nodes.root, 'three', found(9n))
    tables.nodes.forgotten(more, 1)
    assert.deepEqual(
      held.map(({ slot }) => adopted.counts.get(slot)),
      [1, 1],
    )
  })

  it('says of a request that comes again whether it may have been done', () => {
    const { state } = newProcess()
    state.changeSent(10n)
    state.changeSent(12n)
    state.changeOver(12n)
    state.commit()
    const next = successorOf(successorOf(state).state)
    assert.deepEqual(
      [10n, 12n, 14n].map((unique) => next.state.again(unique).maybeDone),
      [true, false, false],
    )
  })

  it('takes back what it has noted for an answer that was not written, and nothing else', () => {
    const { state, nodes, handles } = newProcess()
    const before = nodes.found(nodes.root, 'before', found(7n))
    nodes.told(before)
    handles.add(before, CALLER, 0)
    state.commit(20n)
    const made = nodes.found(nodes.root, 'made', found(8n))
    nodes.told(made)
    const handle = handles.add(made, CALLER, 0)
    state.commit(22n)
    const next = successorOf(successorOf(state).state)
    assert.equal(next.state.again(20n).done, false)
    assert.equal(next.nodes.byId(made.id)?.opens, 1)
    assert.equal(next.state.again(22n).done, true)
    assert.deepEqual([next.nodes.byId(made.id), next.handles.byId(handle.id)], [undefined, undefined])
    assert.equal(next.nodes.byId(before.id)?.opens, 1)
    // Until it is answered: the process may be killed again.
    next.state.allAgain()
    assert.equal(successorOf(next.state).state.again(22n).done, true)
    next.state.changeOver(22n)
    assert.equal(next.state.again(22n).done, false)
  })

  it('is not read by a process that has another format', () => {
    const { state } = newProcess()
    writeSync(state.fd, Buffer.from('another'), 0, 7, 0)
    assert.throws(() => ShieldState.adopt(libc, state.fd, neverCalled), /another format/)
  })
})
