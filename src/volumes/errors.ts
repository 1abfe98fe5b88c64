/**
 * What kind of failure a volume operation ended in; csi/status.ts gives each its gRPC code.
 * `busy`: another call for the same volume is under way; `conflict`: it exists, but otherwise than asked for.
 */
export type VolumeErrorKind =
  | 'invalid'
  | 'missing'
  | 'conflict'
  | 'precondition'
  | 'busy'
  | 'timeout'
  | 'unavailable'
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
