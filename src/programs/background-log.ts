import { closeSync, openSync } from 'node:fs'
import { codeOf, errnoText, messageOf, ProgramError } from '../errors.ts'
import { descriptorSink, type LogSink } from '../log.ts'
import type { Libc } from '../os/libc.ts'
import { STATUS } from '../os/processes/exit-status.ts'
import { syslogSink } from '../os/syslog.ts'

/** Opens the file of `--log-file`. To be called before the mount, so that the parent which waits gets the error. Throws ProgramError. */
export function openLogFile(path: string): number {
  try {
    return openSync(path, 'a')
  } catch (error) {
    const why = errnoText(codeOf(error) ?? messageOf(error))
    throw new ProgramError(`cannot write the log file ${path}: ${why}; name another with --log-file`, STATUS.failed)
  }
}

/** Gives the parent's pipe, which is standard error, up for the log file, or for syslog. `logFile`: its descriptor, which is closed. */
export function backgroundSink(tag: string, libc: () => Libc, logFile: number | undefined): LogSink {
  // At once: threads open descriptors meanwhile, and would take a number that is free for a moment.
  const target = logFile ?? openSync('/dev/null', 'a')
  libc().duplicate(target, 2)
  closeSync(target)
  return logFile === undefined ? syslogSink(tag, libc) : descriptorSink(2)
}
