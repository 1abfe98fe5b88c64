import { constants } from 'node:fs'
import type { Attributes } from '../filesystem.ts'
import type { Attributes as ReplyAttributes, EntryOut } from '../protocol/structs.ts'
import type { SessionSettings } from './mount-options.ts'

const { S_IFMT } = constants
const ALL = 0o777

/** What the kernel is told of a node, with the mount options that change it. */
export class AttributeReplies {
  readonly #settings: SessionSettings

  constructor(settings: SessionSettings) {
    this.#settings = settings
  }

  /** A node under a name. */
  entry(attributes: Attributes): EntryOut {
    const { entryTimeout, attrTimeout } = this.#settings
    return {
      nodeid: attributes.nodeid,
      generation: 0n,
      entryValid: entryTimeout,
      attrValid: attrTimeout,
      attributes: this.of(attributes),
    }
  }

  of({ nodeid, mode, nlink, uid, gid, size, blocks, mtime, atime, ctime, rdev }: Attributes): ReplyAttributes {
    const { uid: owner = uid, gid: group = gid } = this.#settings
    return {
      nodeid,
      mode: this.mode(mode),
      nlink,
      uid: owner,
      gid: group,
      size,
      blocks,
      atime: atime ?? mtime,
      mtime,
      ctime: ctime ?? mtime,
      rdev: rdev ?? 0,
      blksize: 4096,
      flags: 0,
    }
  }

  mode(mode: number): number {
    const { umask } = this.#settings
    return umask === undefined ? mode : (mode & S_IFMT) | (ALL & ~umask)
  }
}
