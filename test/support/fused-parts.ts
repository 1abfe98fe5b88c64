import { join } from 'node:path'
import type { DaemonParts } from '../../src/fused/daemon.ts'
import type { MountOrder } from '../../src/fused/mounter.ts'
import { Records } from '../../src/fused/session-records.ts'
import { DEFAULT_OPTIONS } from '../../src/fuse/mount-option-rules.ts'
import type { SessionEngine } from '../../src/fuse/session/engine.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { openMountTable } from '../../src/os/mounts/mount-table.ts'
import { openEngine } from '../../src/programs/fused/engine.ts'
import { Sandbox } from './sandbox.ts'
import { BOOT } from './session-records.ts'

const libc = new Libc(new AddonLoader())

/** A serving thread that all cases of a file share: to be stopped after the last one. */
export function startEngine(): SessionEngine {
  return openEngine(0, libc, new Logger(() => undefined), (error) => {
    throw error
  })
}

/** What a mounter, and with keepers a daemon, is put together from: in a sandbox of its own, with a serving thread that is up. */
export class FusedParts implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  /** What is logged, but for {@link negotiated}. */
  readonly lines: string[] = []
  /** The lines of the log that tell what was negotiated. */
  readonly negotiated: string[] = []
  readonly log = new Logger((line, level) => {
    const list = line.includes(': INIT negotiated: ') ? this.negotiated : this.lines
    list.push(`${level} ${line.slice(20)}`)
  })
  /** Where the records are. */
  readonly folder = join(this.sandbox.path, 'sessions')
  readonly records = new Records(this.folder, { first: 60_000, longest: 60_000 }, this.log)
  readonly parts: Pick<DaemonParts, 'engine' | 'libc' | 'table' | 'records' | 'bootId' | 'withoutResend' | 'log'>

  readonly #paths = new Map<string, string>()

  constructor(engine: SessionEngine) {
    const { records, log } = this
    this.parts = { engine, libc, table: openMountTable(libc), records, bootId: BOOT, withoutResend: false, log }
  }

  /** An order to mount at a directory, which is made the first time: later it may be a mount that nobody serves. */
  order(name = 'mnt', fault: Partial<MountOrder['fault']> = {}): MountOrder {
    const path = this.#paths.get(name) ?? this.sandbox.directory(name)
    this.#paths.set(name, path)
    return {
      path,
      options: DEFAULT_OPTIONS,
      faults: [],
      fault: { mountDelay: 0, mountFail: false, initHang: false, ...fault },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]()
  }
}
