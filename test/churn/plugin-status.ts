import type { NotifyInbox } from '../support/notify-inbox.ts'
import type { HeardLine } from './site.ts'

/** How many volumes were left to be restored, as far as the log tells, from one moment on (performance.now()). */
interface Left {
  readonly at: number
  readonly least: number
  readonly most: number
}

/** Volumes that the plugin restores at the same time: each may have one of its two lines in the log. */
const RESTORED_AT_ONCE = 16

const STATUS = /^STATUS=Serving on \S+?(?:; (\d+) volumes? (?:is|are) still being re-mounted)?$/m

/** What the plugin tells its service manager, and what its log has said of the same: one life of it after the other. */
export class PluginStatus {
  readonly #inbox: NotifyInbox
  #said: { readonly pid: number; readonly left: number; readonly at: number } | undefined
  #pid = 0
  #lines = 0
  #begun = 0
  #known: Left[] = []

  constructor(inbox: NotifyInbox) {
    this.#inbox = inbox
  }

  /** Takes in a line of the plugin's log; those of other programs say nothing of it. */
  hear({ program, pid, text: line }: HeardLine): void {
    if (program !== 'plugin') return
    if (pid !== this.#pid) {
      this.#pid = pid
      this.#known = []
      this.#lines = 0
      this.#begun = 0
    }
    const at = performance.now()
    const [, count] = /Serving while (\d+) volumes? (?:is|are) still being re-mounted/.exec(line) ?? []
    if (count !== undefined) {
      this.#begun = Number(count)
      this.#lines = 0
      this.#known = [{ at, least: this.#begun, most: this.#begun }]
    } else if (line.includes('All volumes have been re-mounted')) this.#known.push({ at, least: 0, most: 0 })
    else if (this.#known.length > 0 && /(successfully remounted|still mounted|failed to remount) /.test(line)) {
      this.#lines++
      const finished = Math.max(Math.ceil((this.#lines - RESTORED_AT_ONCE) / 2), 0)
      this.#known.push({ at, least: Math.max(this.#begun - this.#lines, 0), most: Math.max(this.#begun - finished, 0) })
    }
  }

  /** Whether a process has said that it serves and restores nothing any more. */
  restored(pid: number): boolean {
    this.#take()
    return this.#said?.pid === pid && this.#said.left === 0
  }

  /**
   * What a process says now, and what was so at some moment since `from` as its log has it: a message and a line of the log do not come at the same
   * time. Undefined while it has not said so for long enough.
   */
  statement(pid: number, from: number): { readonly left: number; readonly known: readonly Left[] } | undefined {
    this.#take()
    if (this.#said?.pid !== pid || this.#said.at > from || this.#pid !== pid) return undefined
    const before = this.#known.findLast(({ at }) => at <= from)
    const since = this.#known.filter(({ at }) => at > from)
    return { left: this.#said.left, known: [...(before === undefined ? [] : [before]), ...since] }
  }

  #take(): void {
    for (const { pid, text } of this.#inbox.take()) {
      const [line, left = '0'] = STATUS.exec(text) ?? []
      if (line !== undefined) this.#said = { pid, left: Number(left), at: performance.now() }
    }
  }
}
