import { SHARED_LIMITS } from '../os/limits.ts'
import type { ServiceManager } from '../sd/service-manager.ts'

/** A program's STATUS= for its service manager (sd_notify(3)), kept up to date. */
export class StatusLine {
  readonly #manager: ServiceManager
  readonly #text: () => string
  #sent: string | undefined
  #timer: NodeJS.Timeout | undefined

  /** `text`: returns the STATUS of this moment. */
  constructor(manager: ServiceManager, text: () => string) {
    this.#manager = manager
    this.#text = text
  }

  /** Sends READY=1 with the first STATUS. */
  ready(): void {
    this.#sent = this.#text()
    this.#manager.announce('READY=1', `STATUS=${this.#sent}`)
  }

  /** To be called after a change: sends the STATUS within a second if its text differs. Does nothing before {@link ready}. */
  readonly changed = (): void => {
    if (this.#sent === undefined) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      const text = this.#text()
      if (text === this.#sent) return
      this.#sent = text
      this.#manager.notify(`STATUS=${text}`)
    }, SHARED_LIMITS.statusPause).unref()
  }
}
