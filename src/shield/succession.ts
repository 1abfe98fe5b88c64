import { closeSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import type { HolderLink } from '../holder/holder-link.ts'
import type { Logger } from '../log.ts'
import type { InheritedDescriptor } from '../os/descriptors/inherited.ts'
import type { Libc } from '../os/libc.ts'
import { pidNamespace, processEnds, processIds, type ProcessStat, processStat, sendSignal } from '../os/processes/processes.ts'
import { keepAlive } from '../sd/keep-alive.ts'
import type { ServiceManager } from '../sd/service-manager.ts'
import type { SessionFacts } from './session-facts.ts'
import { ShieldState } from './state.ts'

/** The names of the two descriptors in the service manager's store. */
const DEVICE = 'shield-device'
const STATE = 'shield-state'

const POLLERR = 8

/** What a shield that was killed has left. */
export interface Left {
  /** The kernel's connection. */
  readonly device: number
  readonly state: ShieldState
}

/** Has the service manager keep what a successor needs, and takes it from there; and a holder, which outlives the service manager's container. */
export class Succession {
  readonly #libc: Libc
  readonly #manager: ServiceManager
  readonly #time: number
  readonly #holder: HolderLink | undefined
  #keeps = false
  readonly #log: Logger

  /** `time`: milliseconds in which the service manager has to take a descriptor. */
  constructor(libc: Libc, manager: ServiceManager, time: number, log: Logger, holder?: HolderLink) {
    this.#libc = libc
    this.#manager = manager
    this.#time = time
    this.#log = log
    this.#holder = holder
  }

  /** Whether the service manager has what a successor needs. */
  get keeps(): boolean {
    return this.#keeps
  }

  /** A new state. Throws SystemError. */
  newState(): ShieldState {
    return ShieldState.create(this.#libc, (why) => this.#lost(why))
  }

  /** What an earlier process has left; undefined if it has left nothing that can be used. */
  async left(inherited: readonly InheritedDescriptor[]): Promise<Left | undefined> {
    const [device, state] = [DEVICE, STATE].map((name) => inherited.find((one) => one.name === name)?.fd)
    try {
      if (device !== undefined && state !== undefined) {
        const adopted = ShieldState.adopt(this.#libc, state, (why) => this.#lost(why))
        const [events = 0] = this.#libc.pollErrors([device])
        // It was killed just before its mount came to its place, and the mount has ended with it.
        const neverThere = (events & POLLERR) !== 0 && adopted.facts.attached !== true
        if (!neverThere) {
          this.#keeps = true
          await this.#holder?.keep({ device, state })
          return { device, state: adopted }
        }
      }
    } catch (error) {
      this.#log.error(`what an earlier shield has left cannot be used: ${messageOf(error)}; its mount is dead, unmount it`)
    }
    for (const { fd } of inherited) closeSync(fd)
    if (inherited.length > 0) await this.forget()
    return undefined
  }

  /** What a holder has of an earlier process, within `time` milliseconds; undefined if it has nothing that can be used. */
  async held(time: number): Promise<Left | undefined> {
    const session = await this.#holder?.fetch(time)
    if (session === undefined) return undefined
    const { device } = session
    try {
      const state = ShieldState.adopt(this.#libc, session.state, (why) => this.#lost(why))
      await this.keep(device, state)
      return { device, state }
    } catch (error) {
      this.#log.error(`what the holder has cannot be used: ${messageOf(error)}; its mount is dead, unmount it`)
      for (const fd of [device, session.state]) closeSync(fd)
      await this.forget()
      return undefined
    }
  }

  /** Resolves when the service manager and the holder have what a successor needs, or the log says that they have not. */
  async keep(device: number, state: ShieldState): Promise<void> {
    const signal = AbortSignal.timeout(this.#time)
    await this.#holder?.keep({ device, state: state.fd })
    try {
      await Promise.all([this.#manager.store(DEVICE, device, signal), this.#manager.store(STATE, state.fd, signal)])
      this.#keeps = true
    } catch (error) {
      this.#lost(messageOf(error))
    }
  }

  /** Tells the service manager that the mount is there, and from then on that this process goes on: one that hangs or is stopped makes its readers wait. */
  ready(): void {
    this.#manager.announce('READY=1')
    keepAlive(
      this.#manager,
      () => Promise.resolve(),
      (error) => this.#log.warning(`no sign of life was sent: ${messageOf(error)}`),
    )
  }

  /** Has the service manager and the holder let go of everything. */
  async forget(): Promise<void> {
    await this.#holder?.forget()
    this.#manager.unstore(DEVICE)
    this.#manager.unstore(STATE)
    await this.#manager.barrier(AbortSignal.timeout(this.#time)).catch(() => undefined)
  }

  #lost(why: string): void {
    this.#keeps = false
    this.#log.warning(`nothing is kept for a successor: ${why}; if this process is killed, the mount is dead`)
    this.forget().catch(() => undefined)
  }
}

/**
 * Kills what is left of a daemon that an earlier process has started, and waits up to `time` milliseconds for its end. Returns whether it has ended. A group whose first
 * process is another one now has got its id later. A daemon that was not started (0) has none: group 0 is of the kernel, and of processes of another PID namespace. One of another PID
 * namespace has ended with that: its container is gone.
 */
export async function endLeft(daemon: NonNullable<SessionFacts['daemon']>, time: number): Promise<boolean> {
  if (daemon.pid === 0 || (daemon.pidNamespace !== undefined && daemon.pidNamespace !== pidNamespace())) return true
  const group = processIds()
    .map((pid) => processStat(pid))
    .filter((stat): stat is ProcessStat => stat?.group === daemon.pid)
  const first = group.find(({ pid }) => pid === daemon.pid)
  if (first !== undefined && first.start !== daemon.start) return true
  const left = group.filter(({ start }) => BigInt(start) >= BigInt(daemon.start))
  for (const { pid } of left) sendSignal(pid, 'SIGKILL')
  const ended = await Promise.all(left.map(async (stat) => await processEnds(stat, time)))
  return ended.every((one) => one)
}
