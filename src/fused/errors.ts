/** What kind of failure an RPC of dummy-fused ended with. */
export type FusedErrorKind = 'invalid' | 'missing' | 'conflict' | 'precondition' | 'timeout' | 'unavailable' | 'internal'

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
