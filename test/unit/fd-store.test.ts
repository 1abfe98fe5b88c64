import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FdStore } from '../../src/keeper/fd-store.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { Sandbox } from '../support/sandbox.ts'

/** What LISTEN_FDNAMES may have in all. */
const LONGEST_NAMES = 128 * 1024 - 4096

const libc = new Libc(new AddonLoader())

/** A store, and the pipes whose ends a test puts into it. */
class StoreOfPipes implements Disposable {
  readonly store: FdStore
  readonly #kept: number[] = []

  constructor(max = 10) {
    this.store = new FdStore(libc, max)
  }

  /** The end to write of a new pipe; the test keeps the end to read, until {@link hangUp}. */
  pipe(): number {
    const [read, write] = libc.pipe()
    this.#kept.push(read)
    return write
  }

  /** Closes the ends to read of all pipes so far. */
  hangUp(): void {
    for (const fd of this.#kept.splice(0)) closeSync(fd)
  }

  /** Names in the order in which they are handed over. */
  names(): string[] {
    return this.store.entries.map(({ name }) => name)
  }

  [Symbol.dispose](): void {
    this.store.clear()
    this.hangUp()
  }
}

function isOpen(fd: number): boolean {
  return existsSync(`/proc/self/fd/${fd}`)
}

function copyOf(fd: number): number {
  return libc.checked('dup', undefined, 'int dup(int)', fd)
}

describe('FdStore', () => {
  it('holds as many as it may, and closes the next', () => {
    using pipes = new StoreOfPipes(2)
    const { store } = pipes
    const fds = ['a', 'b', 'c'].map((name) => ({ name, fd: pipes.pipe(), poll: false }))
    assert.equal(store.full, false)
    assert.deepEqual(
      fds.map((one) => store.add(one)),
      ['stored', 'stored', 'full'],
    )
    assert.equal(store.full, true)
    assert.deepEqual(pipes.names(), ['a', 'b'])
    assert.deepEqual(
      fds.map(({ fd }) => isOpen(fd)),
      [true, true, false],
    )
  })

  it('closes a copy of what it holds, also when it is full and whatever the name', () => {
    using pipes = new StoreOfPipes(1)
    const fd = pipes.pipe()
    const copy = copyOf(fd)
    pipes.store.add({ name: 'a', fd, poll: false })
    assert.equal(pipes.store.add({ name: 'b', fd: copy, poll: false }), 'known')
    assert.deepEqual([isOpen(fd), isOpen(copy)], [true, false])
    assert.deepEqual(pipes.names(), ['a'])
  })

  it('takes no more names than exec(2) takes in LISTEN_FDNAMES, the colons between them included', () => {
    using pipes = new StoreOfPipes()
    const add = (length: number): string => pipes.store.add({ name: 'x'.repeat(length), fd: pipes.pipe(), poll: false })
    assert.equal(add(LONGEST_NAMES + 1), 'names')
    assert.equal(add(1), 'stored')
    assert.equal(add(LONGEST_NAMES - 1), 'names')
    assert.equal(add(LONGEST_NAMES - 2), 'stored')
    assert.equal(add(1), 'names')
    assert.equal(pipes.names().join(':').length, LONGEST_NAMES)
  })

  it('closes all that has a name, and nothing else', () => {
    using pipes = new StoreOfPipes()
    const entries = ['a', 'b', 'a'].map((name) => ({ name, fd: pipes.pipe(), poll: false }))
    for (const one of entries) pipes.store.add(one)
    assert.equal(pipes.store.remove('a'), 2)
    assert.equal(pipes.store.remove('a'), 0)
    assert.deepEqual(
      entries.map(({ fd }) => isOpen(fd)),
      [false, true, false],
    )
    assert.deepEqual(pipes.names(), ['b'])
  })

  it('closes what has hung up, but for what is not to be polled', () => {
    using pipes = new StoreOfPipes()
    for (const [name, poll] of [
      ['polled', true],
      ['not polled', false],
    ] as const)
      pipes.store.add({ name, fd: pipes.pipe(), poll })
    assert.deepEqual(pipes.store.prune(), [])
    pipes.hangUp()
    pipes.store.add({ name: 'well', fd: pipes.pipe(), poll: true })
    const [dropped, ...others] = pipes.store.prune()
    assert.ok(dropped !== undefined && others.length === 0)
    assert.deepEqual([dropped.name, isOpen(dropped.fd)], ['polled', false])
    assert.deepEqual(pipes.names(), ['not polled', 'well'])
  })

  it('polls no file, whose file system might not answer', async () => {
    await using sandbox = new Sandbox()
    using pipes = new StoreOfPipes()
    pipes.store.add({ name: 'file', fd: openSync(join(sandbox.path, 'file'), 'w'), poll: true })
    assert.deepEqual(
      pipes.store.entries.map(({ poll }) => poll),
      [false],
    )
  })

  it('closes everything at its end', () => {
    using pipes = new StoreOfPipes()
    for (const name of ['a', 'b']) pipes.store.add({ name, fd: pipes.pipe(), poll: true })
    const cleared = pipes.store.clear()
    assert.deepEqual(
      cleared.map(({ name, fd }) => [name, isOpen(fd)]),
      [
        ['a', false],
        ['b', false],
      ],
    )
    assert.deepEqual(pipes.names(), [])
    assert.equal(pipes.store.full, false)
  })
})
