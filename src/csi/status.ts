import { Metadata, status, type StatusObject } from '@grpc/grpc-js'
import { isCallEnded } from '../call-context.ts'
import { messageOf, withRemedy } from '../errors.ts'
import { statusOfEnd } from '../grpc/call-deadline.ts'
import { oneLine } from '../printable.ts'
import { fromErrno, VolumeError, type VolumeErrorKind } from '../volumes/errors.ts'

/** The one place where failures become gRPC codes; the CSI spec's error tables are why. */
const CODES: Readonly<Record<VolumeErrorKind, status>> = {
  invalid: status.INVALID_ARGUMENT,
  missing: status.NOT_FOUND,
  conflict: status.ALREADY_EXISTS,
  precondition: status.FAILED_PRECONDITION,
  busy: status.ABORTED,
  badToken: status.ABORTED,
  timeout: status.DEADLINE_EXCEEDED,
  unavailable: status.UNAVAILABLE,
  exhausted: status.RESOURCE_EXHAUSTED,
  range: status.OUT_OF_RANGE,
  unsupported: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
}

/** The status of a call that ended with what was thrown. */
export function toStatus(error: unknown): StatusObject {
  return {
    code: statusOf(error),
    details: oneLine(error instanceof VolumeError ? error.message : withRemedy(messageOf(error), error)),
    metadata: new Metadata(),
  }
}

function statusOf(error: unknown): status {
  if (error instanceof VolumeError) return CODES[error.kind]
  if (isCallEnded(error)) return statusOfEnd(error)
  return CODES[fromErrno(error, '').kind]
}
