import { codeOf, messageOf } from '../errors.ts'
import type { RateLimitedLog } from '../os/rate-limited-log.ts'
import type { ServiceManager } from '../sd/service-manager.ts'

/** A standby's copies of its descriptors with its own service manager: the next standby is started with them. */
export class StandbyCopies {
  readonly #manager: Pick<ServiceManager, 'store' | 'unstore' | 'barrier'>
  readonly #patience: number
  readonly #log: RateLimitedLog
  readonly #never = new AbortController().signal
  #dropped = false

  /** `patience`: milliseconds for which a service manager is waited for that takes nothing in. */
  constructor(manager: Pick<ServiceManager, 'store' | 'unstore' | 'barrier'>, patience: number, log: RateLimitedLog) {
    this.#manager = manager
    this.#patience = patience
    this.#log = log
  }

  /** Has a copy kept under a name under which none is kept. The descriptor must stay open until it is sent, or until {@link drop}. */
  keep(name: string, fd: number): void {
    this.#manager.store(name, fd, this.#never).catch((error: unknown) => {
      // An error without a code says that the copy is not wanted any more.
      if (codeOf(error) !== undefined)
        this.#log.warning(
          'copies',
          `the service manager does not keep descriptor ${name} for the next standby: ${messageOf(error)}`,
        )
    })
  }

  /** Has the copies of a name closed. */
  drop(name: string): void {
    this.#dropped = true
    this.#manager.unstore(name)
  }

  /** Resolves when no copy is left of what was dropped, or the service manager has been waited for long enough. */
  async closed(): Promise<void> {
    if (!this.#dropped) return
    this.#dropped = false
    await this.settled()
  }

  /** Resolves when the service manager has taken in all that it was told, or has been waited for long enough. */
  async settled(): Promise<void> {
    try {
      await this.#manager.barrier(AbortSignal.timeout(this.#patience))
    } catch (error) {
      this.#log.warning('copies', `the service manager takes no descriptors in: ${messageOf(error)}`)
    }
  }
}
