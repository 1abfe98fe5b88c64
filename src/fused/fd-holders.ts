import type { ServiceManager, Supervisor } from '../sd/service-manager.ts'
import type { StandbyLink } from './standby-link.ts'
import type { FdStoreCapacity } from './fd-store-capacity.ts'

/** The processes that have copies of our devices, each under its session's id: the service manager for a successor, and a standby until that is there. */
export class FdHolders {
  readonly #manager: ServiceManager
  readonly #standby: StandbyLink
  readonly #room: FdStoreCapacity

  constructor(manager: ServiceManager, standby: StandbyLink, room: FdStoreCapacity) {
    this.#manager = manager
    this.#standby = standby
    this.#room = room
  }

  get supervisor(): Supervisor {
    return this.#manager.supervisor
  }

  /**
   * Why one more session than `count` would not be kept for a successor, and what to do. Undefined if it would be, or if there is no service manager.
   */
  async lacksRoom(count: number): Promise<string | undefined> {
    return await this.#room.lacks(count)
  }

  /**
   * Resolves when the service manager has a copy of a device; a standby gets its copy as soon as it reads. Rejects with SystemError, or with the
   * signal's reason; then {@link unstore} removes the copy.
   */
  async store(id: string, fd: number, signal: AbortSignal): Promise<void> {
    this.#standby.store(id, fd)
    await this.#manager.store(id, fd, signal)
  }

  /** Has all copies closed. To be followed by {@link barrier}, where it matters when. */
  unstore(id: string): void {
    this.#manager.unstore(id)
    this.#standby.unstore(id)
  }

  /** Resolves when no copy is left of what was taken back, but in a standby that hangs. Rejects with Error, or with the signal's reason. */
  async barrier(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#manager.barrier(signal), this.#standby.barrier(signal)])
  }
}
