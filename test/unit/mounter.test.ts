import assert from 'node:assert/strict'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { RunningCall } from '../../src/call-context.ts'
import type { FusedErrorKind } from '../../src/fused/errors.ts'
import { Mounter, type MounterParts } from '../../src/fused/mounter.ts'
import { decodeRecord, encodeRecord, type SessionRecord } from '../../src/fused/session-record.ts'
import { Records } from '../../src/fused/session-records.ts'
import { deviceAt, deviceOf } from '../../src/os/mounts/mount-table.ts'
import { FusedParts, startEngine } from '../support/fused-parts.ts'
import { mount, mountAt, serves } from '../support/mounts.ts'
import { devicesOf } from '../support/sandbox.ts'
import { BOOT } from '../support/session-records.ts'
import { SilentMount } from '../support/silent-mount.ts'
import { eventually } from '../support/wait.ts'

const engine = startEngine()
before(() => engine.up)
after(() => engine.stop())

/** A mounter, and what it leaves. */
class MounterInTest extends FusedParts {
  readonly mounter: Mounter
  readonly call = new RunningCall(60_000, { margin: 1000 })

  constructor(change: (used: FusedParts) => Partial<MounterParts> = () => ({})) {
    super(engine)
    this.mounter = new Mounter({ ...this.parts, ...change(this) })
  }

  /** Has a mount fail with this, and leave nothing: no mount, no record, and no device of this process. */
  async fails(mounting: Promise<unknown>, kind: FusedErrorKind, message: RegExp): Promise<void> {
    const mounts = this.sandbox.mounts().length
    await assert.rejects(mounting, (error: Error & { kind?: string }) => {
      assert.match(error.message, message)
      assert.deepEqual([error.name, error.kind], ['FusedError', kind])
      return true
    })
    assert.deepEqual(this.records.read(), [])
    assert.equal(this.sandbox.mounts().length, mounts)
    await eventually('no device is open', () => devicesOf(process.pid) === 0)
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.call[Symbol.dispose]()
    await super[Symbol.asyncDispose]()
    await eventually('the sessions have ended', () => devicesOf(process.pid) === 0)
  }
}

/** Records that tell what is mounted when one is saved. */
class WatchedRecords extends Records {
  onSave: () => void = () => undefined
  readonly saved: { device: string | undefined; record: SessionRecord }[] = []
  readonly #parts: MounterParts

  constructor(folder: string, parts: FusedParts['parts']) {
    super(folder, { first: 1000, longest: 1000 }, parts.log)
    this.#parts = parts
  }

  override save(record: SessionRecord): void {
    this.onSave()
    this.saved.push({ device: deviceAt(this.#parts.table, record.path), record })
    super.save(record)
  }
}

describe('Mounter', () => {
  it('refuses a path where nothing can be mounted, and opens no device for it', async () => {
    await using used = new MounterInTest()
    const { sandbox, mounter, call } = used
    writeFileSync(join(sandbox.path, 'file'), '')
    symlinkSync('mnt', join(sandbox.path, 'link'))
    const order = used.order()
    const at = (name: string): Promise<unknown> => mounter.mount({ ...order, path: join(sandbox.path, name) }, call)
    await used.fails(at('nothing'), 'precondition', /\/nothing: no such directory; create it first$/)
    await used.fails(at('file'), 'precondition', /\/file: not a directory/)
    await used.fails(at('link'), 'precondition', /\/link: not a directory/)
    await used.fails(at('x'.repeat(256)), 'precondition', /x cannot be reached: .*file name too long$/)
  })

  it('refuses the mount of another dummy-fuse, and leaves it alone', async () => {
    await using used = new MounterInTest()
    using other = new SilentMount(used.sandbox.directory('other'))
    const { path, connection } = other
    await assert.rejects(used.mounter.mount({ ...used.order(), path }, used.call), {
      kind: 'precondition',
      message: `${path} is a mount point of another dummy-fuse already; unmount that first`,
    })
    assert.equal(mountAt(path).device, deviceOf(connection))
  })

  it('mounts over a file system of another kind', async () => {
    await using used = new MounterInTest()
    const order = used.order()
    mount('-t', 'tmpfs', 'tmpfs', order.path)
    await used.mounter.mount(order, used.call)
    assert.equal(mountAt(order.path).fsType, 'fuse.dummy-fuse')
  })

  it('writes the record before the mount is at its path, and serves it then', async () => {
    let watched: WatchedRecords | undefined
    await using used = new MounterInTest(({ folder, parts }) => ({ records: (watched = new WatchedRecords(folder, parts)) }))
    const order = { ...used.order(), faults: ['read-delay=0'] }
    const { record, running } = await used.mounter.mount(order, used.call)
    assert.deepEqual(watched?.saved, [{ device: undefined, record }])
    assert.deepEqual(used.records.read(), [decodeRecord(record.id, encodeRecord(record))])
    const { path, options, faults, bootId, negotiated } = record
    assert.deepEqual(
      { path, options, faults, bootId },
      { path: order.path, options: order.options, faults: order.faults, bootId: BOOT },
    )
    assert.equal(mountAt(path).device, deviceOf(record.connection))
    assert.equal(negotiated.resend, true)
    assert.equal(devicesOf(process.pid), 1)
    assert.ok(await serves(used.sandbox, path))
    running.detach()
    await running.ended
  })

  it('writes the record before INIT is answered', async () => {
    const done: string[] = []
    await using used = new MounterInTest(({ folder, parts }) => {
      const records = new WatchedRecords(folder, parts)
      records.onSave = () => done.push('the record is written')
      const attach: typeof engine.attach = (attachment) => {
        const running = engine.attach(attachment)
        running.initialised.then(
          () => done.push('INIT is answered'),
          () => undefined,
        )
        return running
      }
      return { records, engine: { attach } }
    })
    await used.mounter.mount(used.order(), used.call)
    assert.deepEqual(done, ['the record is written', 'INIT is answered'])
  })

  it('removes the record of a mount that is given up once it is written', async () => {
    let records: WatchedRecords | undefined
    await using used = new MounterInTest(({ folder, parts }) => ({ records: (records = new WatchedRecords(folder, parts)) }))
    assert.ok(records !== undefined)
    records.onSave = () => used.call.cancel()
    await used.fails(used.mounter.mount(used.order(), used.call), 'timeout', /INIT was not handled/)
  })

  it('remembers that lost requests cannot be asked for where it acts as on an older kernel', async () => {
    await using used = new MounterInTest(() => ({ withoutResend: true }))
    const { record } = await used.mounter.mount(used.order(), used.call)
    assert.equal(record.negotiated.resend, false)
    assert.deepEqual(used.records.read(), [decodeRecord(record.id, encodeRecord(record))])
  })

  it('mounts nothing whose record cannot be written, and says what to do', async () => {
    await using used = new MounterInTest()
    // Room for the folder itself alone.
    mount('-t', 'tmpfs', '-o', 'nr_inodes=1', 'tmpfs', used.folder)
    await used.fails(
      used.mounter.mount(used.order(), used.call),
      'exhausted',
      /^cannot mount .*\/mnt: .*ENOSPC.*; free space and inodes on the file system$/,
    )
  })

  it('does not begin when the fault says that it fails', async () => {
    await using used = new MounterInTest()
    await used.fails(used.mounter.mount(used.order('mnt', { mountFail: true }), used.call), 'internal', /mount failed, as --inject/)
  })

  it('takes back a mount whose INIT is not handled in the call’s time', async () => {
    await using used = new MounterInTest()
    using call = new RunningCall(500, { margin: 100 })
    const mounting = used.mounter.mount(used.order('mnt', { initHang: true }), call)
    await used.fails(mounting, 'timeout', /INIT was not handled within \d+\.\d s, which the call had left$/)
  })

  it('takes back a mount that is given up by the client', async () => {
    await using used = new MounterInTest()
    const mounting = used.mounter.mount(used.order('mnt', { initHang: true }), used.call)
    await eventually('a device is open', () => devicesOf(process.pid) === 1)
    used.call.cancel()
    await used.fails(mounting, 'timeout', /INIT was not handled/)
  })

  it('opens no device when the call is over before a delayed mount begins', async () => {
    await using used = new MounterInTest()
    const mounting = used.mounter.mount(used.order('mnt', { mountDelay: 600 }), used.call)
    used.call.cancel()
    await used.fails(mounting, 'timeout', /INIT was not handled/)
  })

  it('gives up the mounts under way when it ends, for a successor to do', async () => {
    await using used = new MounterInTest()
    const hanging = used.mounter.mount(used.order('hanging', { initHang: true }), used.call)
    const delayed = used.mounter.mount(used.order('delayed', { mountDelay: 600 }), used.call)
    await eventually('a device is open', () => devicesOf(process.pid) === 1)
    used.mounter.abort()
    const message = /^this dummy-fused ends; call again, a successor answers$/
    await Promise.all([hanging, delayed].map((mounting) => used.fails(mounting, 'replaced', message)))
  })

  it('begins no more mounts once it has ended', async () => {
    await using used = new MounterInTest()
    used.mounter.refuseEnded()
    used.mounter.end()
    assert.throws(() => used.mounter.refuseEnded(), { kind: 'replaced' })
  })
})
