import { constants } from 'node:os'
import { OPCODE } from '../fuse/protocol/constants.ts'
import { withoutCreation } from './handles.ts'
import { ENTRY, foundIn, IN, newRequest } from './messages.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { OwnRequests } from './own-requests.ts'
import type { Pending } from './pending.ts'
import type { Rediscovery } from './rediscovery.ts'

const { ENOENT } = constants.errno

/** What came of a change. */
export interface Verdict {
  /** An earlier daemon has done it. `body`: what the daemon would have answered. */
  readonly done: (body: Buffer) => void
  /** It was not done. A positive errno. */
  readonly refused: (errno: number) => void
}

/**
 * Changes that a daemon had when it ended, and that the next one refuses: whether they were done shows in the names that there are. The errno says nothing,
 * because a daemon may report any.
 */
export class DoubtfulChanges {
  readonly #nodes: NodeTable
  readonly #own: OwnRequests
  readonly #rediscovery: Rediscovery

  constructor(nodes: NodeTable, own: OwnRequests, rediscovery: Rediscovery) {
    this.#nodes = nodes
    this.#own = own
    this.#rediscovery = rediscovery
  }

  /** Whether it is such a change, for whose nodes the daemon was asked already. */
  concerns({ maybeDone, shape }: Pending): boolean {
    return maybeDone && shape.check !== undefined
  }

  /** `errno`: what the daemon has refused it with. */
  judge(change: Pending, errno: number, { done, refused }: Verdict): void {
    const parent = this.#nodes.byId(change.nodeid)
    const target = this.#nodes.byId(change.otherNodeid ?? 0n)
    const [name, newName] = change.names
    const isRefused = (): void => refused(errno)
    const isDone = (): void => done(Buffer.alloc(0))
    if (parent === undefined) isRefused()
    else if (change.shape.check === 'gone') this.#look(parent, name, { there: isRefused, absent: isDone, failed: refused })
    else if (change.shape.check === 'made') {
      const there = (entry: Buffer): void => {
        if (change.opcode === OPCODE.CREATE) this.#open(change, entry, { done, refused })
        else done(entry)
      }
      this.#look(parent, name, { there, absent: isRefused, failed: refused })
    } else if (target === undefined) isRefused()
    else {
      const absent = (): void => this.#look(target, newName, { there: isDone, absent: isRefused, failed: refused })
      this.#look(parent, name, { there: isRefused, absent, failed: refused })
    }
  }

  #look(
    directory: Node,
    name: string,
    { there, absent, failed }: { there: (entry: Buffer) => void; absent: () => void; failed: (errno: number) => void },
  ): void {
    this.#rediscovery.lookUp(directory, name, {
      done: (entry) => {
        if (foundIn(entry) === undefined) absent()
        else there(Buffer.from(entry.subarray(0, ENTRY.size)))
      },
      failed: (errno) => {
        if (errno === ENOENT) absent()
        else failed(errno)
      },
    })
  }

  /** Opens a file that an earlier daemon has created. `entry`: what the daemon that serves says of it. */
  #open(change: Pending, entry: Buffer, { done, refused }: Verdict): void {
    const request = newRequest(OPCODE.OPEN, entry.readBigUInt64LE(ENTRY.nodeid), 8, change.identity)
    request.writeUInt32LE(withoutCreation(change.openFlags), IN.body)
    this.#own.ask(request, {
      done: (body) => {
        done(Buffer.concat([entry, body]))
      },
      failed: refused,
    })
  }
}
