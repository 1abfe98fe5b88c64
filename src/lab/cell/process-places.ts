/** A process of one name, as a look finds it. */
export interface Seen {
  readonly pid: number
  /** Who started it, or took it over. */
  readonly parent: number | undefined
  /** In clock ticks since boot. */
  readonly start: string
  readonly args: readonly string[]
  /** What systemd calls the run of the unit that has started it (systemd.exec(5), INVOCATION_ID); undefined if that is not known. A unit that is started again has another. */
  readonly invocation?: string | undefined
}

/**
 * What a look finds that is new. `restart`: the process takes the place of one that has ended. `by`: of `start`, the process that has forked it while that
 * started itself. `renamed`: it runs, and has another name now.
 */
export interface Change {
  readonly kind: 'start' | 'restart' | 'end' | 'renamed'
  readonly pid: number
  readonly by?: number
}

/** Process 1 takes over the children of processes that have ended. As systemd, it also starts processes. */
const INIT = 1

interface Member {
  readonly seen: Seen
  ended: boolean
  /** Whether it has forked. */
  forked: boolean
  /** Whether another process has taken its place. */
  replaced: boolean
}

/**
 * Tells the processes of one name that take the place of others from those that start anew, and from forks: a daemon that goes to the background while it
 * starts is started once, and so is a supervisor with its first child. A process takes the place of one that has ended if the same process has started both,
 * or if it has the same arguments and nothing is left of what the other has started.
 */
export class ProcessPlaces {
  /** Processes that belong together: one, and what it has started. */
  #families: readonly Member[][] = []

  /** Takes in the processes that there are now. Returns what has changed, ends first. `runs`: whether a process runs, whatever its name. */
  look(now: readonly Seen[], runs: (process: Seen) => boolean): readonly Change[] {
    const living = this.#families.flat().filter(({ ended }) => !ended)
    const gone = living.filter(({ seen }) => !now.some((other) => isSame(seen, other)))
    const renamed = gone.filter(({ seen }) => runs(seen))
    for (const one of gone) one.ended = true
    // It leaves no place that another one could take.
    const kept = this.#families.map((members) => members.filter((one) => !renamed.includes(one)))
    this.#families = kept.filter((members) => members.length > 0)
    const come = now.filter((one) => !living.some(({ seen }) => isSame(seen, one)))
    const inOrder = come.toSorted((a, b) => Number(a.start) - Number(b.start) || a.pid - b.pid)
    const left = gone.map((one) => ({ kind: renamed.includes(one) ? ('renamed' as const) : ('end' as const), pid: one.seen.pid }))
    return [...left, ...inOrder.map((one) => this.#enter(one, living))]
  }

  /** `living`: those that the last look saw, also if they are gone now. */
  #enter(seen: Seen, living: readonly Member[]): Change {
    const { pid } = seen
    const one = { seen, ended: false, forked: false, replaced: false }
    const parent = this.#parentOf(seen, living)
    const family = this.#families.find((members) => parent !== undefined && members.includes(parent))
    if (parent === undefined || family === undefined) return { kind: this.#settle(one), pid }
    family.push(one)
    if (!parent.forked) {
      parent.forked = true
      return { kind: 'start', pid, by: parent.seen.pid }
    }
    // What has forked has given its place away.
    const lost = family.find((other) => other.ended && !other.forked && !other.replaced)
    if (lost === undefined) return { kind: 'start', pid }
    lost.replaced = true
    return { kind: 'restart', pid }
  }

  /** Gives a process without a parent among the others the place of a family that has ended, or one of its own. */
  #settle(one: Member): 'start' | 'restart' {
    const last = this.#families.findIndex(
      (members) => members.every(({ ended }) => ended) && members.some(({ seen }) => areAlike(seen, one.seen)),
    )
    this.#families = last === -1 ? [...this.#families, [one]] : this.#families.with(last, [one])
    return last === -1 ? 'start' : 'restart'
  }

  /** The process that has forked this one; undefined if none of the others has. */
  #parentOf(seen: Seen, living: readonly Member[]): Member | undefined {
    const known = this.#families.flat()
    const own = known.findLast((other) => other.seen.pid === seen.parent && Number(other.seen.start) <= Number(seen.start))
    if (own !== undefined || seen.parent !== INIT) return own
    // What has forked it may have ended since the last look. A fork has the same arguments.
    return known.findLast(
      (other) =>
        (!other.ended || living.includes(other)) &&
        !other.forked &&
        (other.seen.parent !== INIT || areOneRun(other.seen, seen)) &&
        areAlike(other.seen, seen),
    )
  }
}

function isSame(a: Seen, b: Seen): boolean {
  return a.pid === b.pid && a.start === b.start
}

function areAlike(a: Seen, b: Seen): boolean {
  return a.args.join('\0') === b.args.join('\0')
}

/** Whether both belong to one run of a unit. */
function areOneRun(a: Seen, b: Seen): boolean {
  return a.invocation !== undefined && a.invocation === b.invocation
}
