import type { CallError } from '../grpc/client.ts'

/**
 * Codes of answers that stay the same until the caller changes something (CSI specification, "Error Scheme"). NOT_FOUND and FAILED_PRECONDITION are not
 * among them: drivers answer so while their storage, or an earlier step, is not ready.
 */
const FINAL: ReadonlySet<string> = new Set([
  'INVALID_ARGUMENT',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'UNIMPLEMENTED',
  'OUT_OF_RANGE',
])

/** Whether the same call is answered in the same way, so that it is not made again. */
export function isFinal({ code }: Pick<CallError, 'code'>): boolean {
  return FINAL.has(code)
}
