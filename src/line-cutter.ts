import { StringDecoder } from 'node:string_decoder'

/** Cuts what comes in pieces, as text or as bytes of UTF-8, into lines. A character whose bytes come in two pieces stays whole. */
export class LineCutter {
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''

  /** What has come after the last line feed. */
  get rest(): string {
    return this.#rest
  }

  /** The lines that are whole with `piece`, without their line feeds. */
  push(piece: string | Buffer): readonly string[] {
    const text = typeof piece === 'string' ? piece : this.#decoder.write(piece)
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines
  }

  /** What has come after the last line feed, as a line of its own because it is too long. */
  break(): string {
    const part = this.#rest
    this.#rest = ''
    return part
  }

  /** The last line, where it has no line feed: nothing more comes. */
  end(): readonly string[] {
    const last = this.#rest + this.#decoder.end()
    this.#rest = ''
    return last === '' ? [] : [last]
  }
}
