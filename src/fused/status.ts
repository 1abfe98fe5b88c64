import { Metadata, status, type StatusObject } from '@grpc/grpc-js'
import { isCallEnded } from '../call-context.ts'
import { messageOf, withRemedy } from '../errors.ts'
import { answered } from '../grpc/answered.ts'
import { statusOfEnd } from '../grpc/call-deadline.ts'
import { oneLine } from '../printable.ts'
import { fromErrno, type FusedErrorKind, isFusedError } from './errors.ts'

/** The one place where this service's failures become gRPC codes. */
const CODES: Readonly<Record<FusedErrorKind, status>> = {
  invalid: status.INVALID_ARGUMENT,
  missing: status.NOT_FOUND,
  conflict: status.ALREADY_EXISTS,
  precondition: status.FAILED_PRECONDITION,
  timeout: status.DEADLINE_EXCEEDED,
  unavailable: status.UNAVAILABLE,
  replaced: status.UNAVAILABLE,
  exhausted: status.RESOURCE_EXHAUSTED,
  internal: status.INTERNAL,
}

/** The status of a call that ended with what was thrown. */
export function toStatus(error: unknown): StatusObject {
  return {
    code: codeOf(error),
    details: oneLine(isFusedError(error) ? error.message : withRemedy(messageOf(error), error)),
    metadata: isFusedError(error) && error.kind === 'replaced' ? new Metadata() : answered(),
  }
}

function codeOf(error: unknown): status {
  if (isFusedError(error)) return CODES[error.kind]
  if (isCallEnded(error)) return statusOfEnd(error)
  return CODES[fromErrno(error, '').kind]
}
