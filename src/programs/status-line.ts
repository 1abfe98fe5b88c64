import type { ServiceManager } from '../sd/service-manager.ts'

/** Milliseconds from a change to its STATUS: a node that starts has many changes at once, and people read no faster. */
const PAUSE = 1000

/** A program's STATUS= for its service manager (sd_notify(3)), which follows what it tells of. */
export class StatusLine {
  readonly #manager: ServiceManager
  readonly #text: () => string
  #told: string | undefined
  #timer: NodeJS.Timeout | undefined

  /** `text`: what is so now. */
  constructor(manager: ServiceManager, text: () => string) {
    this.#manager = manager
    this.#text = text
  }

  /** Says that the program is ready, and how it is. */
  ready(): void {
    this.#told = this.#text()
    this.#manager.announce('READY=1', `STATUS=${this.#told}`)
  }

  /** Something has changed: it is told within a second, if it is different then. Before {@link ready} nothing is told. */
  readonly changed = (): void => {
    if (this.#told === undefined) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      const text = this.#text()
      if (text === this.#told) return
      this.#told = text
      this.#manager.notify(`STATUS=${text}`)
    }, PAUSE).unref()
  }
}
