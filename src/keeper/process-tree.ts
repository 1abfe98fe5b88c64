import { descendantsOf, descendsFrom, endedChild, hasChildren, reap } from '../os/processes/child-processes.ts'
import type { ProcessEnd } from '../os/processes/child-program.ts'
import { sendSignal } from '../os/processes/processes.ts'
import type { Libc } from '../os/libc.ts'

/** The descendants of keep. keep is their subreaper: the kernel makes it the parent of every process whose own parent has ended. */
export class ProcessTree {
  readonly #libc: Libc
  /** Children that libuv waits for: it must be the one to reap them. */
  readonly #spawned = new Set<number>()
  readonly #ends = new Map<number, ProcessEnd | undefined>()

  constructor(libc: Libc) {
    this.#libc = libc
  }

  /** A child of Node's: not to be reaped, until {@link gone}. */
  spawned(pid: number): void {
    this.#spawned.add(pid)
  }

  gone(pid: number): void {
    this.#spawned.delete(pid)
    this.reapOrphans()
  }

  /** Whether a process is a descendant, or was one when it was last seen as a child. */
  contains(pid: number): boolean {
    return this.#spawned.has(pid) || this.#ends.has(pid) || descendsFrom(pid, process.pid)
  }

  /** Keeps how this process ends for {@link endOf}. One at a time. */
  remember(pid: number): void {
    this.#ends.clear()
    this.#ends.set(pid, undefined)
  }

  /** How a remembered process has ended, if that is known. */
  endOf(pid: number): ProcessEnd {
    this.reapOrphans()
    return this.#ends.get(pid) ?? { status: null, signal: null }
  }

  /** Reaps every child that has ended, up to a child that libuv will reap; {@link gone} continues then. */
  reapOrphans(): void {
    for (;;) {
      const ended = endedChild(this.#libc)
      if (ended === undefined || this.#spawned.has(ended.pid)) return
      if (this.#ends.has(ended.pid)) this.#ends.set(ended.pid, ended.end)
      reap(this.#libc, ended.pid)
    }
  }

  /** Sends SIGKILL to all below us; tells how many they were. */
  killAll(): number {
    this.reapOrphans()
    const all = this.#all()
    for (const pid of all) sendSignal(pid, 'SIGKILL')
    return all.length
  }

  get empty(): boolean {
    this.reapOrphans()
    return this.#all().length === 0
  }

  #all(): readonly number[] {
    return hasChildren(this.#libc) ? descendantsOf(process.pid) : []
  }
}
