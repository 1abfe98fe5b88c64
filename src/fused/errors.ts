import { codeOf, failureKind, withRemedy } from '../errors.ts'

/** What kind of failure an RPC of dummy-fused ended with. `replaced`: this process ends, and the same call to its successor may succeed at once. */
export type FusedErrorKind =
  | 'invalid'
  | 'missing'
  | 'conflict'
  | 'precondition'
  | 'timeout'
  | 'unavailable'
  | 'replaced'
  | 'exhausted'
  | 'internal'

/** A request that dummy-fused cannot fulfil; its message is for the caller. */
export class FusedError extends Error {
  override readonly name = 'FusedError'
  readonly kind: FusedErrorKind

  constructor(kind: FusedErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** Whether it is a FusedError, also one of another bundle's class. */
export function isFusedError(error: unknown): error is FusedError {
  return error instanceof Error && error.name === 'FusedError' && 'kind' in error
}

/** A system call's failure as a FusedError with this message: its kind is what the errno means for the caller. */
export function fromErrno(error: unknown, message: string): FusedError {
  return new FusedError(kindOf(codeOf(error)), withRemedy(message, error), { cause: error })
}

function kindOf(code: string | undefined): FusedErrorKind {
  // The path is not there, or leads through something that is no directory: a symbolic link neither.
  if (code === 'ENOTDIR' || code === 'ENOENT' || code === 'ELOOP') return 'precondition'
  return failureKind(code)
}
