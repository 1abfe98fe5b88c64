/** Bytes of an :authority that nghttp2, which is Node's HTTP/2, takes (nghttp2_check_authority()). */
const VALID = new Set(Buffer.from("!$%&'()*+,-.0123456789:;=ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~"))

/** How many codes of each length, from one bit on, HPACK's Huffman code has (RFC 7541, appendix B). It is canonical: this tells where each code ends. */
const CODE_COUNTS: readonly number[] = [
  ...[0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4],
]

/** By the length of their codes, in the codes' order, the characters that are valid in an :authority, and a space for each that is not. */
const CHARACTERS: Readonly<Record<number, string>> = {
  5: '012aceiost',
  6: ' %-. 3456789=A_bdfghlmnpru',
  7: ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz',
  8: '&*,;XZ',
  10: '! () ',
  11: "'+ ",
  13: ' $ []~',
}

/** Codes of valid characters: of each length one, the longest first. */
const FILLERS: readonly { readonly code: number; readonly bits: number }[] = [
  { code: 0x1ff9, bits: 13 }, // $
  { code: 0x7fa, bits: 11 }, // '
  { code: 0x3f8, bits: 10 }, // !
  { code: 0xf8, bits: 8 }, // &
  { code: 0x5c, bits: 7 }, // :
  { code: 0x16, bits: 6 }, // -
  { code: 0x0, bits: 5 }, // 0
]

/** Padding of a Huffman-coded string is shorter than a byte. */
const MOST_PADDING = 7

/** The static table's number of :authority. */
const AUTHORITY = 1

/**
 * Makes an :authority acceptable that nghttp2 refuses; clients of a unix socket send its path, and gRPC does not read it. `block` is a header block
 * (RFC 7541), or its beginning. Each value is changed in place and keeps its number of bytes and of characters, on which the sizes of both sides'
 * tables depend. Returns how many values it has changed.
 */
export function rewriteAuthority(block: Buffer): number {
  const reader = new BlockReader(block)
  let mended = 0
  while (!reader.over) {
    const first = reader.peek()
    if ((first & 0x80) !== 0) reader.integer(7)
    else if ((first & 0xe0) === 0x20) reader.integer(5)
    else {
      const name = reader.integer((first & 0x40) === 0 ? 4 : 6)
      if (name === 0) reader.string()
      const value = reader.string()
      if (name === AUTHORITY && value !== undefined && mend(value)) mended++
    }
  }
  return mended
}

interface StringLiteral {
  readonly huffman: boolean
  readonly bytes: Buffer
}

/** Walks over the representations of a header block; what is cut off ends it. */
class BlockReader {
  readonly #block: Buffer
  #at = 0

  constructor(block: Buffer) {
    this.#block = block
  }

  get over(): boolean {
    return this.#at >= this.#block.length
  }

  peek(): number {
    return this.#block[this.#at] ?? 0
  }

  /** Decodes an integer with a prefix of this many bits (RFC 7541, 5.1). Returns -1 if it is cut off or larger than any length here. */
  integer(prefix: number): number {
    const most = 2 ** prefix - 1
    let value = this.#byte() & most
    if (value < most) return value
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte()
      if (byte < 0) return -1
      value += (byte & 0x7f) << shift
      if ((byte & 0x80) === 0) return value
    }
    this.#at = this.#block.length
    return -1
  }

  /** A string literal (RFC 7541, 5.2); undefined if it is cut off. */
  string(): StringLiteral | undefined {
    const huffman = (this.peek() & 0x80) !== 0
    const length = this.integer(7)
    const start = this.#at
    if (length < 0 || start + length > this.#block.length) {
      this.#at = this.#block.length
      return undefined
    }
    this.#at = start + length
    return { huffman, bytes: this.#block.subarray(start, this.#at) }
  }

  #byte(): number {
    return this.#block[this.#at++] ?? -1
  }
}

function mend({ huffman, bytes }: StringLiteral): boolean {
  if (huffman) return mendCoded(bytes)
  if (bytes.every((byte) => VALID.has(byte))) return false
  for (const [at, byte] of bytes.entries()) if (!VALID.has(byte)) bytes[at] = 0x2d
  return true
}

/** As many characters in as many bytes: which ones does not matter. */
function mendCoded(bytes: Buffer): boolean {
  const characters = readCoded(bytes)
  if (characters === undefined || characters.valid) return false
  const codes: { code: number; bits: number }[] = []
  let left = 8 * bytes.length
  for (let after = characters.count - 1; after >= 0; after--) {
    // The others take five bits at least.
    const filler = FILLERS.find(({ bits }) => bits + 5 * after <= left)
    if (filler === undefined) return false
    codes.push(filler)
    left -= filler.bits
  }
  if (left > MOST_PADDING) return false
  writeCoded(bytes, codes)
  return true
}

/** How many characters a Huffman-coded string has, and whether all are valid; undefined if it is not well coded. */
function readCoded(bytes: Buffer): { readonly count: number; readonly valid: boolean } | undefined {
  let count = 0
  let valid = true
  let [code, first, length] = [0, 0, 0]
  for (let at = 0; at < 8 * bytes.length; at++) {
    code = (code << 1) | (((bytes[at >> 3] ?? 0) >> (7 - (at & 7))) & 1)
    const codes = CODE_COUNTS[length]
    if (codes === undefined) return undefined
    length++
    if (code - first < codes) {
      count++
      valid &&= (CHARACTERS[length]?.[code - first] ?? ' ') !== ' '
      ;[code, first, length] = [0, 0, 0]
    } else first = (first + codes) << 1
  }
  return length > MOST_PADDING ? undefined : { count, valid }
}

function writeCoded(bytes: Buffer, codes: readonly { readonly code: number; readonly bits: number }[]): void {
  bytes.fill(0xff)
  let at = 0
  for (const { code, bits } of codes) {
    for (let bit = bits - 1; bit >= 0; bit--, at++) {
      if (((code >> bit) & 1) === 0) bytes[at >> 3] = (bytes[at >> 3] ?? 0) & ~(0x80 >> (at & 7))
    }
  }
}
