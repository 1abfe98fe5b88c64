import { closeInThread } from '../os/descriptors/close-in-thread.ts'
import type { Libc } from '../os/libc.ts'
import { canBePolled, hungUp, sameOpenFile } from '../os/descriptors/open-files.ts'

/** exec(2) fails with E2BIG if one string of the environment is longer (MAX_ARG_STRLEN); a part of it is left for the sockets. */
const LONGEST_NAMES = 128 * 1024 - 4096

/** A descriptor that is held, under the name it is handed over by. */
export interface Stored {
  readonly name: string
  readonly fd: number
  /** Close it when it shows an error or a hang-up. */
  readonly poll: boolean
}

/** The outcome for a descriptor. It is closed unless it is stored. */
export type Outcome = 'stored' | 'known' | 'full' | 'names'

/** The descriptors that outlive the program, as systemd's FileDescriptorStoreMax= has them. */
export class FdStore {
  readonly #libc: Libc
  readonly #max: number
  #stored: Stored[] = []

  /** Holds at most `max` descriptors. */
  constructor(libc: Libc, max: number) {
    this.#libc = libc
    this.#max = max
  }

  get entries(): readonly Stored[] {
    return this.#stored
  }

  /** Whether the next one is too many. */
  get full(): boolean {
    return this.#stored.length >= this.#max
  }

  /**
   * Stores a descriptor. `known`: a copy of it is stored already. `full`: the store is full. `names`: the names would be too long for LISTEN_FDNAMES.
   */
  add(entry: Stored): Outcome {
    const outcome = this.#judge(entry)
    if (outcome === 'stored') this.#stored.push({ ...entry, poll: entry.poll && canBePolled(entry.fd) })
    else closeInThread(this.#libc, entry.fd)
    return outcome
  }

  /** Closes all descriptors of one name. Returns how many. */
  remove(name: string): number {
    return this.#drop((entry) => entry.name === name).length
  }

  /** Closes the descriptors that show an error or a hang-up. Returns them. */
  prune(): readonly Stored[] {
    const polled = this.#stored.filter(({ poll }) => poll).map(({ fd }) => fd)
    const gone = new Set(hungUp(this.#libc, polled))
    return gone.size === 0 ? [] : this.#drop(({ fd }) => gone.has(fd))
  }

  /** Closes all descriptors. Returns them. */
  clear(): readonly Stored[] {
    return this.#drop(() => true)
  }

  #judge({ name, fd }: Stored): Outcome {
    if (this.#stored.some((held) => sameOpenFile(this.#libc, held.fd, fd))) return 'known'
    if (this.full) return 'full'
    const names = this.#stored.reduce((sum, held) => sum + held.name.length + 1, name.length)
    return names > LONGEST_NAMES ? 'names' : 'stored'
  }

  #drop(which: (entry: Stored) => boolean): readonly Stored[] {
    const kept: Stored[] = []
    const dropped: Stored[] = []
    for (const entry of this.#stored) (which(entry) ? dropped : kept).push(entry)
    this.#stored = kept
    for (const { fd } of dropped) closeInThread(this.#libc, fd)
    return dropped
  }
}
