import { constants } from 'node:os'
import { OPCODE } from '../fuse/protocol/constants.ts'
import type { Handle, HandleTable } from './handles.ts'
import { DIRECTORY, IN, newRequest } from './messages.ts'
import type { OwnRequests } from './own-requests.ts'

/** Bytes of struct fuse_flush_in. */
const FLUSH_SIZE = 24

/** Has a daemon store what was written to open files, as close(2) does. */
export class Flushes {
  readonly #handles: HandleTable
  readonly #own: OwnRequests

  constructor(handles: HandleTable, own: OwnRequests) {
    this.#handles = handles
    this.#own = own
  }

  /** `flushed`: told how many files there were, and the errno of one that was refused, if one was. It is not called if the daemon ends before. */
  flush(flushed: (count: number, errno: number | undefined) => void): void {
    const files = [...this.#handles.all()].filter((handle) => this.#mayBeDirty(handle))
    let left = files.length
    let refused: number | undefined
    const over = (): void => {
      left--
      if (left === 0) flushed(files.length, refused)
    }
    if (left === 0) flushed(0, undefined)
    for (const { daemonNode, daemonHandle = 0n, caller } of files) {
      const request = newRequest(OPCODE.FLUSH, daemonNode, FLUSH_SIZE, caller)
      request.writeBigUInt64LE(daemonHandle, IN.body)
      this.#own.ask(request, {
        done: over,
        failed: (errno) => {
          // It has nothing to do at a close.
          if (errno !== constants.errno.ENOSYS) refused ??= errno
          over()
        },
      })
    }
  }

  /** Whether something may have been written to it through the daemon that serves. */
  #mayBeDirty(handle: Handle): boolean {
    return (
      !handle.readOnly && handle.node.type !== DIRECTORY && handle.daemonHandle !== undefined && this.#handles.isCurrent(handle)
    )
  }
}
