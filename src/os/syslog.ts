import { type LogLevel, type LogSink, withoutTimestamp } from '../log.ts'
import type { Libc } from './libc.ts'
import { sendDatagram } from './sockets/unix-datagram.ts'

/** Facility daemon (3) and the severities of RFC 5424, section 6.2.1. */
const PRIORITY: Readonly<Record<LogLevel, number>> = { error: 3 * 8 + 3, warning: 3 * 8 + 4, info: 3 * 8 + 6 }

/**
 * A sink into /dev/log, which the journal and every syslog daemon serve. On a machine with neither, or where nobody reads it any more,
 * the line is lost: a daemon that waited for its reader would take its mount along. `libc` is asked for at the first line.
 */
export function syslogSink(tag: string, libc: () => Libc): LogSink {
  return (line, level) => {
    // The receiver stamps the line itself.
    const message = withoutTimestamp(line)
    try {
      const payload = Buffer.from(`<${PRIORITY[level]}>${tag}[${process.pid}]: ${message}`)
      sendDatagram(libc(), '/dev/log', payload)
    } catch {
      // There is nobody left to tell.
    }
  }
}
