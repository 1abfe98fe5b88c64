import { parentOf } from '../../os/processes/child-processes.ts'
import { processesNamed, sharesMounts } from '../../os/processes/processes.ts'
import { ProcessPlaces } from './process-places.ts'
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
    for (const { comm, title, places } of this.#names) {
      const now = processesNamed(comm)
        .filter(({ stat }) => sharesMounts(stat.pid))
        .map(({ stat: { pid, start }, args }) => ({ pid, start, args, parent: parentOf(pid) }))
      for (const { kind, pid, by } of places.look(now)) {
        if (kind !== 'end') this.#timeline.lane(comm, 'process', title, pid)
        const forked = by === undefined ? '' : `, forked by process ${by}`
        this.#timeline.note(comm, kind, kind === 'end' ? `process ${pid} is gone` : `process ${pid}${forked}`)
      }
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
