import type { OPCODE } from '../../src/fuse/protocol/constants.ts'

/** A request's body in annotated bytes (see fuse-traffic-bytes.ts), and the fields that decoding it must give. */
export interface RequestCase {
  readonly op: Exclude<keyof typeof OPCODE, `${string}CUSE${string}` | `${string}BSWAP${string}`>
  /** Tells cases of one opcode apart. */
  readonly title?: string
  /** In include/uapi/linux/fuse.h. */
  readonly struct?: string
  readonly body: string
  readonly fields: Readonly<Record<string, unknown>>
}
