import type { ServiceManager, Supervisor } from '../os/sd-notify.ts'
import type { StandbyLink } from './standby-link.ts'

/** Who has copies of our devices, each under its session's id: the service manager for a successor, and a standby until that is there. */
export class Keepers {
  readonly #manager: ServiceManager
  readonly #standby: StandbyLink

  constructor(manager: ServiceManager, standby: StandbyLink) {
    this.#manager = manager
    this.#standby = standby
  }

  get supervisor(): Supervisor {
    return this.#manager.supervisor
  }

  /** Throws SystemError if the service manager cannot be told. To be followed by {@link barrier}. */
  store(id: string, fd: number): void {
    this.#manager.store(id, fd)
    this.#standby.store(id)
  }

  unstore(id: string): void {
    this.#manager.unstore(id)
    this.#standby.unstore(id)
  }

  /** Resolves when the service manager has what was stored, and nobody has any more what was not to be kept. Rejects when that one is not in time. */
  async barrier(): Promise<void> {
    await Promise.all([this.#manager.barrier(), this.#standby.barrier()])
  }
}
