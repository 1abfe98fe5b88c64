import { constants } from 'node:os'
import { errnoText } from '../../errors.ts'
import type { Command } from '../command.ts'
import { parseLine, type WriteLine } from '../consumer/line.ts'
import type { ConsumerSpec } from '../matrix/consumers.ts'
import type { LogLine } from '../scenario-record.ts'
import type { ReadLog } from './read-log.ts'
import type { WriteLog } from './write-log.ts'

/** A program that reads one file again and again, and tells of each read. */
export interface ReaderProgram {
  readonly command: Command
  /** Its flags for a consumer, without --file. */
  readonly flags: (consumer: ConsumerSpec) => readonly string[]
  /** Puts what a line of its output says into `reads`. Returns whether the line is for the lab alone and belongs into no log. */
  readonly follow: (line: LogLine, reads: ReadLog) => boolean
}

/** The lab's own consumer, which times its reads itself. `startMs`: the start of the cell on CLOCK_MONOTONIC. */
export function labConsumer(command: Command, startMs: number): ReaderProgram {
  return {
    command,
    flags: ({ way, exitsOnError, writes, readsBack = [] }) => [
      ...['--way', way],
      ...(exitsOnError ? ['--exit-on-error'] : []),
      ...(writes === true ? ['--writes'] : []),
      ...(readsBack.length > 0 ? ['--read-back', readsBack.join(',')] : []),
    ],
    follow: ({ line: text }, reads) => {
      const line = parseLine(text)
      if (line === undefined) return false
      if ('began' in line) reads.begin(line.began - startMs)
      else if ('wrote' in line) reads.write(line.at - startMs, line.wrote)
      else if ('saw' in line) reads.end(line.ended - startMs, line.saw)
      else if ('found' in line) reads.found.set(line.file, line.found)
      else if ('unreadable' in line) reads.found.set(line.file, line.unreadable)
      else followWrite(line, line.at - startMs, reads.writes)
      return true
    },
  }
}

function followWrite(line: WriteLine, atMs: number, writes: WriteLog): void {
  const attempt = { by: line.by, atMs, tookMs: line.took }
  if ('refused' in line) writes.refuse({ ...attempt, refused: line.refused })
  else writes.acknowledge(line.file, attempt)
}

/**
 * dummy-fuse-workload, as a pod of the original project runs it. It reads five times a second here, and every five seconds in a real pod.
 *
 * It logs `reading` before a read, `read error: read FILE: WHY` after one that failed, and nothing after one that was right: a right read
 * ends in its log when the next one begins.
 */
export function workload(command: Command): ReaderProgram {
  return {
    command,
    flags: ({ way, exitsOnError }) => [
      ...['--read-interval', '0.2'],
      ...(way === 'keeps-open' ? ['--keep-open'] : []),
      ...(exitsOnError ? ['--exit-on-error'] : []),
    ],
    follow: ({ atMs, line }, reads) => {
      const text = line.replace(/^\S+ \S+ /, '')
      const [, why] = /^read error: read .*: (.*)$/.exec(text) ?? []
      if (why !== undefined) reads.end(atMs, errnoNamed(why))
      else if (text === 'reading') {
        if (reads.underWay !== undefined) reads.end(atMs, 'right')
        reads.begin(atMs)
      }
      return false
    },
  }
}

/** `ENOTCONN` for `transport endpoint is not connected`; a text that no errno has as it is. */
function errnoNamed(text: string): string {
  return Object.keys(constants.errno).find((code) => errnoText(code) === text) ?? text
}
