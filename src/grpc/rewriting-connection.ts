import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { rewriteAuthority } from './authority.ts'

/** What a client sends before its first frame (RFC 9113, 3.4). */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

/** Bytes before a frame's payload: its length, its type, its flags and its stream. */
const FRAME_HEADER = 9

/** The longest payload that a client may send to a server that has not allowed more (SETTINGS_MAX_FRAME_SIZE). */
const LONGEST_FRAME = 16_384

const HEADERS = 1
const PADDED = 0x8
const PRIORITY = 0x20

/** Finds the HEADERS frames in what a client sends, and mends their :authority in its place. */
export class AuthorityRewriter {
  /** Bytes that are passed on as they are: the preface, and payloads of other frames. */
  #pass = PREFACE.length
  #held: Buffer = Buffer.alloc(0)

  /** What is to be passed on now that these bytes have come: a frame that is not whole waits for the rest. */
  push(bytes: Buffer): Buffer {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    let at = 0
    while (at < all.length) {
      if (this.#pass > 0) {
        const passed = Math.min(this.#pass, all.length - at)
        this.#pass -= passed
        at += passed
        continue
      }
      if (all.length - at < FRAME_HEADER) break
      const length = all.readUIntBE(at, 3)
      if (all[at + 3] !== HEADERS || length > LONGEST_FRAME) {
        this.#pass = FRAME_HEADER + length
        continue
      }
      const end = at + FRAME_HEADER + length
      if (end > all.length) break
      rewriteAuthority(headerBlock(all.subarray(at + FRAME_HEADER, end), all[at + 4] ?? 0))
      at = end
    }
    this.#held = all.subarray(at)
    return all.subarray(0, at)
  }

  /** What waits for a rest that does not come. */
  rest(): Buffer {
    return this.#held
  }
}

/** The part of a HEADERS frame's payload that is a header block (RFC 9113, 6.2). */
function headerBlock(payload: Buffer, flags: number): Buffer {
  const padding = (flags & PADDED) === 0 ? 0 : (payload[0] ?? 0)
  const start = ((flags & PADDED) === 0 ? 0 : 1) + ((flags & PRIORITY) === 0 ? 0 : 5)
  return payload.subarray(start, Math.max(start, payload.length - padding))
}

/**
 * A client's connection, with each :authority that nghttp2 refuses made acceptable: a client that dials a unix socket by means of its own takes the path for
 * the name of a host (gRPC for Go in older kubelets and in Nomad), and has every call ended by PROTOCOL_ERROR otherwise.
 */
export class RewritingConnection extends Duplex {
  readonly #socket: Socket
  readonly #rewriter = new AuthorityRewriter()

  /** `handshake`: milliseconds within which the client must have sent its preface, or it is cut off. */
  constructor(socket: Socket, handshake: number) {
    super({ allowHalfOpen: false })
    this.#socket = socket
    const timer = setTimeout(() => socket.destroy(), handshake).unref()
    let missing = PREFACE.length
    socket.on('data', (bytes: Buffer) => {
      missing -= bytes.length
      if (missing <= 0) clearTimeout(timer)
      const passed = this.#rewriter.push(bytes)
      if (passed.length > 0 && !this.push(passed)) socket.pause()
    })
    socket.on('end', () => {
      const rest = this.#rewriter.rest()
      if (rest.length > 0) this.push(rest)
      this.push(null)
    })
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => {
      clearTimeout(timer)
      this.destroy()
    })
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done)
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}
