import { codeOf, failureKind, withRemedy } from '../errors.ts'

/**
 * What kind of failure a volume operation ended in; csi/status.ts gives each its gRPC code.
 * `busy`: another call for the same volume is under way; `conflict`: it exists, but otherwise than asked for; `exhausted`: something has
 * run out on this node; `internal`: calling again does not help.
 */
export type VolumeErrorKind =
  | 'invalid'
  | 'missing'
  | 'conflict'
  | 'precondition'
  | 'busy'
  | 'timeout'
  | 'unavailable'
  | 'exhausted'
  | 'range'
  | 'badToken'
  | 'unsupported'
  | 'internal'

/** A failed volume operation; the message names the volume or path and what to do. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError'
  readonly kind: VolumeErrorKind

  constructor(kind: VolumeErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** A system call's failure as a VolumeError with this message: its kind is what the errno means for the caller. */
export function fromErrno(error: unknown, message: string): VolumeError {
  return new VolumeError(kindOf(codeOf(error)), withRemedy(message, error), { cause: error })
}

function kindOf(code: string | undefined): VolumeErrorKind {
  // The path leads through something that is no directory: a symbolic link neither.
  if (code === 'ENOTDIR' || code === 'EEXIST' || code === 'ELOOP') return 'precondition'
  return failureKind(code)
}
