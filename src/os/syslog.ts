import { type LogLevel, type LogSink, withoutTimestamp } from '../log.ts'
import type { Libc } from './libc.ts'
import { sendDatagram } from './sockets/unix-datagram.ts'

/** Facility daemon (3) and the severities of RFC 5424, section 6.2.1. */
const PRIORITY: Readonly<Record<LogLevel, number>> = { error: 3 * 8 + 3, warning: 3 * 8 + 4, info: 3 * 8 + 6 }

/**
 * A sink into /dev/log, which the journal and every syslog daemon serve. Without a reader the line is lost, because a daemon that waited for the
 * reader would not serve its mount. `libc` is loaded at the first line.
 */
export function syslogSink(tag: string, libc: () => Libc): LogSink {
  return (line, level) => {
    // The receiver stamps the line itself.
    const message = withoutTimestamp(line)
    try {
      const payload = Buffer.from(`<${PRIORITY[level]}>${tag}[${process.pid}]: ${message}`)
      sendDatagram(libc(), '/dev/log', payload)
    } catch {
      // The failure cannot be logged anywhere.
    }
  }
}
