import { DIRENT, OUT } from './messages.ts'

/** One entry as struct fuse_dirent, padded, and its name (latin1). */
interface Entry {
  readonly bytes: Buffer
  readonly name: string
}

/**
 * A directory as a daemon has listed it from its beginning to its end. A place in a listing means something only to the daemon that gave it: a reader gets
 * places in the snapshot, which are good whichever daemon serves.
 */
export class DirectorySnapshot {
  /** A reader has had its beginning. */
  begun = false
  readonly #entries: Entry[] = []

  /**
   * Takes in the body of a reply to READDIR. Returns the place behind its last whole entry, from which the daemon is to go on; undefined if it has none. libfuse 2
   * cuts off the last entry where the reply ends. Names that are `hidden` are left out.
   */
  add(body: Buffer, hidden: (name: string) => boolean): bigint | undefined {
    let place: bigint | undefined
    for (let at = 0; at + DIRENT.name < body.length;) {
      const nameLength = body.readUInt32LE(at + DIRENT.nameLength)
      const end = at + DIRENT.name + nameLength
      if (nameLength === 0 || end > body.length) break
      place = body.readBigUInt64LE(at + DIRENT.offset)
      const name = body.toString('latin1', at + DIRENT.name, end)
      const size = (DIRENT.name + nameLength + 7) & ~7
      if (!hidden(name)) {
        const bytes = Buffer.alloc(size)
        body.copy(bytes, 0, at, end)
        bytes.writeBigUInt64LE(BigInt(this.#entries.length + 1), DIRENT.offset)
        this.#entries.push({ bytes, name })
      }
      at += size
    }
    return place
  }

  /** All entries, as {@link add} takes them in again, in parts of `size` bytes at the most. */
  parts(size: number): readonly Buffer[] {
    const parts: Buffer[][] = [[]]
    let length = 0
    for (const { bytes } of this.#entries) {
      length += bytes.length
      if (length > size) {
        parts.push([])
        length = bytes.length
      }
      parts.at(-1)?.push(bytes)
    }
    return parts.map((part) => Buffer.concat(part))
  }

  /**
   * Writes a reply to READDIR for a reader at a place of ours, of `size` bytes at the most beside its header. Returns the reply's length. `ino`: what the reader
   * gets for the daemon's inode number.
   */
  write(reply: Buffer, unique: bigint, place: bigint, size: number, ino: (name: string, daemons: bigint) => bigint): number {
    if (place === 0n) this.begun = true
    let at: number = OUT.body
    const limit = Math.min(OUT.body + size, reply.length)
    for (let index = Number(place); index < this.#entries.length; index++) {
      const entry = this.#entries[index]
      if (entry === undefined || at + entry.bytes.length > limit) break
      entry.bytes.copy(reply, at)
      reply.writeBigUInt64LE(ino(entry.name, entry.bytes.readBigUInt64LE(DIRENT.ino)), at + DIRENT.ino)
      at += entry.bytes.length
    }
    reply.writeUInt32LE(at, OUT.length)
    reply.writeInt32LE(0, OUT.error)
    reply.writeBigUInt64LE(unique, OUT.unique)
    return at
  }
}
