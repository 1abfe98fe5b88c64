import type { Writer } from '../../src/fuse/protocol/writer.ts'

/** What an encoder is to leave in its writer, in annotated bytes (see fuse-traffic-bytes.ts). */
export interface ReplyCase {
  readonly title: string
  readonly encode: (writer: Writer) => void
  /** struct fuse_out_header. */
  readonly header: string
  /** What follows, by struct in include/uapi/linux/fuse.h. */
  readonly structs?: readonly (readonly [struct: string, bytes: string])[]
  readonly rest?: string
}

export const UNIQUE = 0x8102030405060708n

/** struct fuse_out_header in annotated bytes. */
export const header = (length: string, error = '00 00 00 00'): string => `
    ${length}              # len
    ${error}              # error
    08 07 06 05 04 03 02 81  # unique`
