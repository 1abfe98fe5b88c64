/** The values that were negotiated at INIT. The kernel does not send INIT again to a successor, so they must be kept over a daemon's death. */
export interface Negotiated {
  /** Of protocol 7. */
  readonly minor: number
  /** FUSE_INIT flags of both words. */
  readonly flags: bigint
  /** Bytes of the largest WRITE. */
  readonly maxWrite: number
  /** Pages of the largest request. */
  readonly maxPages: number
  /** Nanoseconds. */
  readonly timeGran: number
  /** Whether this kernel can be asked for lost requests again (FUSE_NOTIFY_RESEND, Linux 6.9). */
  readonly resend: boolean
}
