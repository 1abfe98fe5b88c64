import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Reader } from '../support/c-reader.ts'
import { assertUnharmed } from '../support/chaos.ts'
import { KeptFused, type Moment, NOTHING_KEPT } from '../support/chaos-kept.ts'
import { outcome } from '../support/csi-client.ts'
import { serves } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'

const DEVICE = '/dev/fuse'

/** Ends the life that goes on; the next one is to end at a moment. Resolves to the pid of that one once it answers. */
async function traced(fused: KeptFused, moment: Moment): Promise<number> {
  fused.endNextLife(moment)
  return await fused.ready(await fused.kill())
}

/** At the end nothing is mounted, kept or written down. */
async function assertNothingLeft(sandbox: Sandbox, fused: KeptFused): Promise<void> {
  assert.deepEqual(sandbox.mounts(), [])
  assert.deepEqual(await fused.leftovers(), NOTHING_KEPT)
}

const IN_MOUNT: Readonly<Record<string, Moment>> = {
  'before fsopen(2)': { call: 'fsopen', nth: 1 },
  'before fsmount(2)': { call: 'fsmount', nth: 1 },
  'before it reads INIT': { call: 'read', of: DEVICE, nth: 1 },
  'before the record of INIT has its name': { call: 'rename', nth: 1 },
  'before it answers INIT': { call: 'write', of: DEVICE, nth: 1 },
  'before the mount comes to its path': { call: 'move_mount', nth: 1 },
  'before it stores the descriptor': { call: 'sendmsg', nth: 1 },
  'before it knows that the descriptor is stored': { call: 'sendmsg', nth: 2 },
}

const IN_UNMOUNT: Readonly<Record<string, Moment>> = {
  'before umount2(2)': { call: 'umount2', nth: 1 },
  'before it knows that the store has let go of the descriptor': { call: 'sendmsg', nth: 1 },
}

/** The first write is the successor's RESEND; then come the answers to LOOKUP, OPEN, GETATTR, READ, FLUSH, RELEASE. */
const IN_READ: Readonly<Record<string, Moment>> = {
  'before it asks for lost requests': { call: 'write', of: DEVICE, nth: 1 },
  'before it reads its first request': { call: 'read', of: DEVICE, nth: 1 },
  'before it reads its third request': { call: 'read', of: DEVICE, nth: 3 },
  ...Object.fromEntries(
    Array.from({ length: 8 }, (_, i) => [`in the middle of answer ${i + 1}`, { call: 'write', of: DEVICE, nth: i + 2 }]),
  ),
}

describe('dummy-fused, killed at the entry of a system call', () => {
  it('while it mounts: the path is served or free, and can be mounted', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await KeptFused.start(sandbox)
    const path = sandbox.directory('mnt')
    for (const [when, moment] of Object.entries(IN_MOUNT)) {
      await t.test(when, async () => {
        const doomed = await traced(fused, moment)
        assert.equal((await outcome(fused.mount(path))).code, 'UNAVAILABLE')
        await fused.ready(doomed)
        const [mounted] = sandbox.mounts()
        assert.equal(await serves(sandbox, path), mounted === path)
        await fused.mount(path)
        assert.ok(await serves(sandbox, path))
        await fused.unmount(path)
        await assertNothingLeft(sandbox, fused)
      })
    }
  })

  it('while it unmounts: the path is served or free, and can be unmounted', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await KeptFused.start(sandbox)
    const path = sandbox.directory('mnt')
    for (const [when, moment] of Object.entries(IN_UNMOUNT)) {
      await t.test(when, async () => {
        await fused.mount(path)
        const doomed = await traced(fused, moment)
        assert.equal((await outcome(fused.unmount(path))).code, 'UNAVAILABLE')
        await fused.ready(doomed)
        const [mounted] = sandbox.mounts()
        assert.equal(await serves(sandbox, path), mounted === path)
        await fused.unmount(path)
        await assertNothingLeft(sandbox, fused)
      })
    }
  })

  it('while a consumer reads: the read is right', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await KeptFused.start(sandbox)
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const file = join(path, 'dummy-file.txt')
    const readers = new Map([
      ['held', await Reader.start(sandbox, { mode: 'held', file })],
      ['reopen', await Reader.start(sandbox, { mode: 'reopen', file })],
    ])
    for (const reader of readers.values()) await reader.reading()
    for (const [when, moment] of Object.entries(IN_READ)) {
      await t.test(when, async () => {
        fused.endNextLife(moment)
        const first = await fused.kill()
        const second = await fused.another(first)
        await fused.another(second)
        assert.ok(fused.armed)
        await fused.ready(second)
        for (const [name, reader] of readers) {
          const { right } = await reader.progress()
          const { failed, wrong } = await reader.until(`${name} reads on`, (now) => now.right > right, 30_000)
          assert.deepEqual({ failed, wrong }, { failed: {}, wrong: 0 }, name)
        }
      })
    }
    await assertUnharmed(readers, () => undefined)
    await fused.unmount(path)
    await assertNothingLeft(sandbox, fused)
  })
})
