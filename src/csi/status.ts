import { Metadata, status, type StatusObject } from '@grpc/grpc-js'
import { isCallEnded } from '../call-context.ts'
import { messageOf, SystemError } from '../errors.ts'
import { VolumeError, type VolumeErrorKind } from '../volumes/errors.ts'

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
  range: status.OUT_OF_RANGE,
  unsupported: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
}

/** The status of a call that ended with what was thrown. */
export function toStatus(error: unknown): StatusObject {
  return { code: codeOf(error), details: messageOf(error), metadata: new Metadata() }
}

function codeOf(error: unknown): status {
  if (error instanceof VolumeError) return CODES[error.kind]
  if (isCallEnded(error)) return error.kind === 'deadline' ? status.DEADLINE_EXCEEDED : status.CANCELLED
  // A path that the kernel cannot follow is the caller's.
  if (error instanceof SystemError && (error.code === 'ENAMETOOLONG' || error.code === 'ELOOP')) return status.INVALID_ARGUMENT
  return status.INTERNAL
}
