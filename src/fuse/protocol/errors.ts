/**
 * Bytes that are no message of the protocol, or an answer that does not fit its buffer (`truncated`). `unique` is the request's,
 * where its header could be read: with it the request can be refused (ENOSYS for `unknown-opcode`) and the session go on.
 */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly kind: 'truncated' | 'malformed' | 'unknown-opcode'
  readonly unique: bigint | undefined

  constructor(kind: ProtocolError['kind'], message: string, unique?: bigint) {
    super(message)
    this.kind = kind
    this.unique = unique
  }
}

/** A kernel that speaks a version of the protocol that is too old. The message says which, and what is needed. */
export class UnsupportedKernelError extends Error {
  override readonly name = 'UnsupportedKernelError'
  readonly major: number
  readonly minor: number

  constructor(major: number, minor: number, needed: string) {
    super(`this kernel speaks version ${major}.${minor} of the FUSE protocol; needed is ${needed}`)
    this.major = major
    this.minor = minor
  }
}
