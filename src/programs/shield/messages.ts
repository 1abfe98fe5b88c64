import { descriptorSink, Logger, type LogSink } from '../../log.ts'
import { isSocket } from '../../os/descriptors/descriptors.ts'
import type { Libc } from '../../os/libc.ts'
import { syslogSink } from '../../os/syslog.ts'
import { oneLine } from '../../printable.ts'
import { backgroundSink, openLogFile } from '../background-log.ts'
import type { ShieldOptions } from './options.ts'

const TAG = 'dummy-shield'

/**
 * Where the messages of a shield, of its keeper and of its daemons go. In the background, until the mount stands, standard error is a socket of the process that waits
 * for it. From then on it is the log file, or nothing where syslog is used; a successor gets it from the keeper like that.
 */
export class Messages {
  /** Of the shield. */
  readonly log: Logger
  /** Of the keeper: the shield says itself what it does. */
  readonly keeperLog: Logger
  readonly #libc: Libc
  readonly #background: boolean
  readonly #logFile: number | undefined
  #sink: LogSink
  /** The process that waits shows failures alone. */
  #waitedFor: boolean

  /** Throws ProgramError if the log file cannot be written. */
  constructor(libc: Libc, { background, logFile }: Pick<ShieldOptions, 'background' | 'logFile'>) {
    this.#libc = libc
    this.#background = background
    this.#waitedFor = background && isSocket(2)
    this.#logFile = this.#waitedFor && logFile !== undefined ? openLogFile(logFile) : undefined
    const toSyslog = background && !this.#waitedFor && logFile === undefined
    this.#sink = toSyslog ? syslogSink(TAG, () => libc) : descriptorSink(2)
    this.log = new Logger((line, level) => {
      if (level !== 'info' || !this.#waitedFor) this.#sink(line, level)
    })
    this.keeperLog = new Logger((line, level) => {
      if (level !== 'info') this.#sink(line, level)
    })
  }

  /** Takes the lines of daemons; undefined: they write to the terminal themselves. */
  get ofDaemons(): ((line: string, daemon: string) => void) | undefined {
    if (!this.#background) return undefined
    return (line, daemon) => {
      if (this.#waitedFor) this.#sink(oneLine(line), 'info')
      else this.log.info(`${daemon}: ${line}`)
    }
  }

  /** The mount stands: lets go of the process that waits for it, if there is one. */
  leaveTerminal(): void {
    if (!this.#waitedFor) return
    this.#sink = backgroundSink(TAG, () => this.#libc, this.#logFile)
    this.#waitedFor = false
  }
}
