import { readFileSync } from 'node:fs'
import { parentOf } from '../../os/processes/child-processes.ts'
import { LONGEST_COMM, processesNamed, processStat } from '../../os/processes/processes.ts'
import { isOnNode } from './node-processes.ts'
import { type Change, ProcessPlaces, type Seen } from './process-places.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds between two looks. */
const INTERVAL = 20

/** Notes when the processes that the plugin starts, and not the lab, come and go: the FUSE daemons. One lane for each name. */
export class ProcessWatch implements Disposable {
  readonly #timeline: Timeline
  readonly #names: readonly { readonly comm: string; readonly title: string; readonly places: ProcessPlaces }[]
  readonly #timer: NodeJS.Timeout

  /** `names`: by comm, the titles of their lanes. */
  constructor(timeline: Timeline, names: Readonly<Record<string, string>>) {
    this.#timeline = timeline
    this.#names = Object.entries(names).map(([comm, title]) => ({ comm, title, places: new ProcessPlaces() }))
    this.#timer = setInterval(() => {
      this.look()
    }, INTERVAL)
  }

  look(): void {
    const all = processesNamed(...this.#names.map(({ comm }) => comm)).filter(({ stat }) => isOnNode(stat.pid))
    for (const { comm, title, places } of this.#names) {
      const now = all
        .filter(({ stat }) => stat.comm === comm.slice(0, LONGEST_COMM))
        .map(({ stat: { pid, start }, args }) => ({ pid, start, args, ...originOf(pid) }))
        // Of one that has ended meanwhile, not all is known.
        .filter(({ pid }) => processStat(pid) !== undefined)
      const runs = ({ pid, start }: Seen): boolean => processStat(pid)?.start === start
      for (const change of places.look(now, runs)) this.#note(comm, title, change)
    }
  }

  #note(comm: string, title: string, { kind, pid, by }: Change): void {
    switch (kind) {
      case 'end':
        this.#timeline.note(comm, 'end', `process ${pid} is gone`)
        break
      case 'renamed':
        this.#timeline.note(comm, 'end', `process ${pid} has another name now`)
        break
      case 'start':
      case 'restart':
        this.#timeline.lane(comm, 'process', title, pid)
        this.#timeline.note(comm, kind, `process ${pid}${by === undefined ? '' : `, forked by process ${by}`}`)
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

/** Who has started a process, or took it over. */
function originOf(pid: number): Pick<Seen, 'parent' | 'invocation'> {
  const parent = parentOf(pid)
  return parent === 1 ? { parent, invocation: invocationOf(pid) } : { parent }
}

function invocationOf(pid: number): string | undefined {
  try {
    const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    return variables.find((one) => one.startsWith('INVOCATION_ID='))
  } catch {
    return undefined // It has ended.
  }
}
