import assert from 'node:assert/strict'
import type { Fault } from './strace.ts'

/** The codes that a call may end with because of an error of a system call; OK is one if it does without what failed. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  EMFILE: ['OK', 'RESOURCE_EXHAUSTED', 'UNAVAILABLE'],
  ENOMEM: ['OK', 'RESOURCE_EXHAUSTED', 'UNAVAILABLE'],
  EAGAIN: ['OK', 'RESOURCE_EXHAUSTED', 'UNAVAILABLE'],
  ENOSPC: ['OK', 'RESOURCE_EXHAUSTED', 'UNAVAILABLE'],
  EINTR: ['OK', 'UNAVAILABLE'],
  EIO: ['OK', 'UNAVAILABLE', 'INTERNAL'],
}

/** How many calls of one kind fail in one step, at most. DUMMY_FUSE_FAULTS sets another number. */
const MOST = Number(process.env.DUMMY_FUSE_FAULTS ?? 1)

/** System calls of one kind that fail one after the other: by each error the first such call, then the second, and so on. */
export interface FaultRow extends Omit<Fault, 'error' | 'when'> {
  readonly errors: readonly string[]
}

/**
 * Tries each fault of a row, until a step makes no more such calls. `act` takes a step with the fault and resolves to how many calls have failed
 * by it. Resolves to the number of faults that came. Throws if an error of the row came never.
 */
export async function sweep({ errors, ...row }: FaultRow, act: (fault: Fault) => Promise<number>): Promise<number> {
  let cases = 0
  for (const error of errors) {
    for (let when = 1; when <= MOST; when++) {
      if ((await act({ ...row, error, when })) === 0) {
        assert.ok(when > 1, `no ${row.call} was made to fail by ${error}`)
        break
      }
      cases++
    }
  }
  return cases
}

/** What a fault came to, for messages. */
export function titleOf(
  { call, error, when }: Fault,
  { code, details }: { readonly code: string; readonly details: string },
): string {
  return `${call} ${when}: ${error}: ${code}: ${details}`
}

/** Asserts that a call ended with a code that is right for the error, and with words that name a path or program. */
export function assertRight(fault: Fault, outcome: { readonly code: string; readonly details: string }): void {
  const title = titleOf(fault, outcome)
  assert.ok(ALLOWED[fault.error]?.includes(outcome.code), title)
  const cutOff = /^(No connection established|Connection dropped|read ECONNRESET)/.test(outcome.details)
  if (outcome.code !== 'OK' && !cutOff) assert.match(outcome.details, /\/\w+|dummy-fuse/, `${title} names nothing`)
}
