import { messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import type {
  ControlRequest,
  ShieldKeeper,
  ShieldStatus,
  StopReport,
  UpgradeReport,
  UpgradeRequest,
} from '../../shield/control-protocol.ts'
import { Refused } from '../../shield/refused.ts'
import type { Shield } from '../../shield/shield.ts'
import type { Commands } from './commands.ts'
import { losesWrites, parseCommand, type ShieldOptions } from './options.ts'

/** The dependencies of {@link ShieldControl}. */
interface ShieldControlParts {
  readonly shield: Shield
  readonly commands: Commands
  readonly mountpoint: string
  readonly options: ShieldOptions
  /** What keeps the mount when the shield is killed. */
  readonly keeper: () => ShieldKeeper
  readonly log: Logger
}

/** What the commands status, stop and upgrade do with a shield. */
export class ShieldControl {
  readonly #parts: ShieldControlParts
  readonly #since = new Date().toISOString()
  readonly #stop = Promise.withResolvers<'stop'>()
  readonly #ended = Promise.withResolvers<undefined>()
  #openFiles = 0

  constructor(parts: ShieldControlParts) {
    this.#parts = parts
  }

  /** Resolves when the shield is to end. */
  get stop(): Promise<'stop'> {
    return this.#stop.promise
  }

  /** The shield has ended. */
  ended(): void {
    this.#ended.resolve(undefined)
  }

  /** Rejects with Refused or ProgramError. */
  async answer(request: ControlRequest): Promise<object> {
    switch (request.do) {
      case 'status':
        return this.#status()
      case 'stop':
        return await this.#stopped()
      case 'upgrade':
        return await this.#upgrade(request)
    }
  }

  #status(): ShieldStatus {
    const { shield, mountpoint, options, keeper } = this.#parts
    const { readOnly, stableInodes, user = null, holder = null, giveUp } = options
    return {
      ok: true,
      mountpoint,
      pid: process.pid,
      since: this.#since,
      keeper: keeper(),
      ...shield.summary,
      options: { readOnly, stableInodes, user, holder, giveUp: giveUp / 1000 },
    }
  }

  async #stopped(): Promise<StopReport> {
    const { shield } = this.#parts
    this.#openFiles = Math.max(this.#openFiles, shield.summary.openFiles)
    this.#stop.resolve('stop')
    await this.#ended.promise
    return { ok: true, pid: process.pid, left: [...shield.remains], openFiles: this.#openFiles }
  }

  async #upgrade({ command, stopFirst, wait, drain }: UpgradeRequest): Promise<UpgradeReport> {
    const { shield, commands, options, log } = this.#parts
    const next = command === undefined ? undefined : { file: command.file, words: parseCommand(command.words) }
    const lost = options.readOnly || command === undefined ? undefined : losesWrites(command.words)
    if (lost !== undefined) throw new Refused(`${lost}, and the mount is not read-only`)
    try {
      const differs = next !== undefined
      const report = await commands.replace(
        next,
        async (daemon) => await shield.upgrade({ command: daemon, differs, stopFirst, wait, drain }),
      )
      log.info(
        `upgraded: process ${report.pid} serves; requests held: ${report.held}, for ${report.longestHold.toFixed(0)} ms at the most`,
      )
      return report
    } catch (error) {
      log.warning(`an upgrade is refused: ${messageOf(error)}`)
      throw error
    }
  }
}
