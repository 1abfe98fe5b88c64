/**
 * Bytes out of annotated lines: pairs of hexadecimal digits, then `#` and the field's name in include/uapi/linux/fuse.h with what it
 * says. A field `"…"` is that text in UTF-8.
 */
export function annotated(lines: string): Buffer {
  const parts = lines.split('\n').map((line) => {
    const [bytes = ''] = line.split('#')
    const text = /^\s*"(.*)"\s*$/.exec(bytes)?.[1]
    return text === undefined ? hex(bytes) : Buffer.from(text)
  })
  return Buffer.concat(parts)
}

function hex(digits: string): Buffer {
  const packed = digits.replaceAll(/\s/g, '')
  const bytes = Buffer.from(packed, 'hex')
  if (bytes.length * 2 !== packed.length) throw new Error(`not hexadecimal: ${digits}`)
  return bytes
}

/** A whole request: the header of length, opcode and fixed values, see {@link HEADER}, and the body. */
export function request(opcode: number, body: Uint8Array, extensions: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = annotated(`
    00 00 00 00              # len
    00 00 00 00              # opcode
    08 07 06 05 04 03 02 01  # unique
    18 17 16 15 14 13 12 f1  # nodeid
    e8 03 00 00              # uid
    e9 03 00 00              # gid
    39 30 00 00              # pid
    00 00                    # total_extlen
    00 00                    # padding`)
  header.writeUInt32LE(header.length + body.length + extensions.length, 0)
  header.writeUInt32LE(opcode, 4)
  header.writeUInt16LE(extensions.length / 8, 36)
  return Buffer.concat([header, body, extensions])
}

/** What `request` has in its header beside length and opcode. */
export const HEADER = {
  unique: 0x0102030405060708n,
  nodeid: 0xf112131415161718n,
  uid: 1000,
  gid: 1001,
  pid: 12345,
  totalExtlen: 0,
} as const
