import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import type { FileSystem } from '../../src/fuse/filesystem.ts'
import { Writer } from '../../src/fuse/protocol/writer.ts'
import { REPLY_SIZE, REQUEST_SIZE } from '../../src/fuse/session/handshake.ts'
import { sessionSettings } from '../../src/fuse/session/mount-options.ts'
import type { Negotiated } from '../../src/fuse/session/negotiated.ts'
import { FuseSession, type SessionHooks, type SessionOutcome } from '../../src/fuse/session/session.ts'
import { FakeDevice } from './fake-device.ts'

/** Of a kernel that knows everything. */
export const ALL_FLAGS = (1n << 64n) - 1n
/** The only file’s node. */
export const FILE = 2n

/** What a session on a fake device is made of. */
export interface Given {
  readonly filesystem?: FileSystem
  readonly options?: readonly string[]
  readonly hold?: boolean
}

/** A session on a fake device, and what it tells. */
export function startSession({ filesystem = new DummyFs(), options = [], hold = false }: Given = {}): {
  device: FakeDevice
  session: FuseSession
  told: string[]
  negotiated: Negotiated[]
  outcomes: SessionOutcome[]
  shared: { awaited: number }
  serve: (...requests: readonly (Buffer | number)[]) => number
} {
  const device = new FakeDevice()
  const told: string[] = []
  const negotiated: Negotiated[] = []
  const outcomes: SessionOutcome[] = []
  const hooks: SessionHooks = {
    initialising: (agreed) => {
      negotiated.push(agreed)
      told.push('initialising')
      return hold ? 'hold' : 'answer'
    },
    initialised: () => told.push('initialised'),
    ended: (outcome) => {
      outcomes.push(outcome)
      told.push('ended')
    },
    warning: (message) => told.push(`warning: ${message}`),
    trace: (line) => told.push(`trace: ${line}`),
  }
  const shared = { request: Buffer.alloc(REQUEST_SIZE), reply: new Writer(REPLY_SIZE), awaited: 0 }
  const session = new FuseSession(device, filesystem, sessionSettings(options), shared, hooks)
  const serve = (...requests: readonly (Buffer | number)[]): number => {
    device.put(...requests)
    return session.serve(1000)
  }
  return { device, session, told, negotiated, outcomes, shared, serve }
}

/** A file system whose reads are answered when the test says so. */
export class SlowFs extends DummyFs {
  readonly waiting: PromiseWithResolvers<Uint8Array>[] = []

  override read(): Uint8Array {
    const later = Promise.withResolvers<Uint8Array>()
    this.waiting.push(later)
    return later.promise as unknown as Uint8Array
  }
}
