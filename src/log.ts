import { writeSync } from 'node:fs'
import { codeOf } from './errors.ts'
import { oneLine } from './printable.ts'

export type LogFormat = 'text' | 'json'
export type LogLevel = 'info' | 'warning' | 'error'

/** What a line is about: `id` counts the RPCs and stands before a text line as `[ID:n]`; `data` follows its words. */
export interface LogFields {
  readonly id?: number
  readonly data?: unknown
}

/** Takes one whole line, without its line feed. */
export type LogSink = (line: string, level: LogLevel) => void

/** Writes lines as the original project does (`2021/04/16 13:36:21 [ID:4] GRPC call: …`) or as one JSON object each. */
export class Logger {
  readonly #sink: LogSink
  readonly #format: LogFormat

  constructor(sink: LogSink, format: LogFormat = 'text') {
    this.#sink = sink
    this.#format = format
  }

  info(message: string, fields: LogFields = {}): void {
    this.#write('info', message, fields)
  }

  warning(message: string, fields: LogFields = {}): void {
    this.#write('warning', message, fields)
  }

  error(message: string, fields: LogFields = {}): void {
    this.#write('error', message, fields)
  }

  #write(level: LogLevel, message: string, fields: LogFields): void {
    const now = new Date()
    this.#sink(this.#format === 'json' ? jsonLine(now, level, message, fields) : textLine(now, message, fields), level)
  }
}

function jsonLine(now: Date, level: LogLevel, msg: string, fields: LogFields): string {
  return oneLine(JSON.stringify({ time: now.toISOString(), level, msg, ...fields }))
}

function textLine(now: Date, message: string, { id, data }: LogFields): string {
  const prefix = id === undefined ? '' : `[ID:${id}] `
  const suffix = data === undefined ? '' : `: ${typeof data === 'string' ? data : JSON.stringify(data)}`
  return `${goTimestamp(now)} ${prefix}${oneLine(message + suffix)}`
}

/** Local time as Go's log package writes it: `2021/04/16 13:36:21`. */
export function goTimestamp(at: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const date = `${at.getFullYear()}/${two(at.getMonth() + 1)}/${two(at.getDate())}`
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** A text line for somebody who stamps it himself. */
export function withoutTimestamp(line: string): string {
  return line.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /, '')
}

/**
 * A sink that writes to a descriptor at once, so that nothing is lost when the process dies next.
 * `onBroken` takes the lines that find no reader any more (EPIPE); without it they are dropped.
 */
export function descriptorSink(fd: number, onBroken?: LogSink): LogSink {
  return (line, level) => {
    let rest = Buffer.from(`${line}\n`)
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(fd, rest))
      } catch (error) {
        if (codeOf(error) === 'EAGAIN') {
          // A caller may have made the shared description non-blocking; its reader will make room.
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
          continue
        }
        onBroken?.(line, level)
        return
      }
    }
  }
}
