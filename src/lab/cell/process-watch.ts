import { processesOf } from './node-processes.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds between two looks. */
const INTERVAL = 20

/** Notes when the processes that the plugin starts, and not the lab, come and go: the FUSE daemons. One lane for each name. */
export class ProcessWatch implements Disposable {
  readonly #timeline: Timeline
  readonly #names: Readonly<Record<string, string>>
  readonly #timer: NodeJS.Timeout
  readonly #living = new Map<string, Set<number>>()
  readonly #ever = new Set<string>()

  /** `names`: by comm, the titles of their lanes. */
  constructor(timeline: Timeline, names: Readonly<Record<string, string>>) {
    this.#timeline = timeline
    this.#names = names
    this.#timer = setInterval(() => {
      this.look()
    }, INTERVAL)
  }

  look(): void {
    for (const [comm, title] of Object.entries(this.#names)) {
      const before = this.#living.get(comm) ?? new Set<number>()
      const now = new Set(processesOf(comm))
      this.#living.set(comm, now)
      for (const pid of now) {
        if (before.has(pid)) continue
        this.#timeline.lane(comm, 'process', title, pid)
        this.#timeline.note(comm, this.#ever.has(comm) ? 'restart' : 'start', `process ${pid}`)
        this.#ever.add(comm)
      }
      for (const pid of before) if (!now.has(pid)) this.#timeline.note(comm, 'end', `process ${pid} is gone`)
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
