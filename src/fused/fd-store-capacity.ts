import type { Supervisor } from '../sd/service-manager.ts'

/**
 * exec(2) fails with E2BIG if one string of the environment is longer (MAX_ARG_STRLEN). A successor gets all names in one string, LISTEN_FDNAMES; a
 * part of it is left for the sockets.
 */
const LONGEST_NAMES = 128 * 1024 - 4096

/** A session's id, and the colon after it. */
const NAME = 17

const MOST_NAMES = Math.floor(LONGEST_NAMES / NAME)

/** What a person raises so that more sessions are kept. */
const ADVICE: Readonly<Record<Exclude<Supervisor, 'none'>, string>> = {
  keep: "raise keep's --store-max, and its limit of open files to twice as many",
  systemd: 'raise FileDescriptorStoreMax= of its unit',
}

/** How many sessions the service manager keeps for a successor. A session that it does not keep ends with this process. */
export class FdStoreCapacity {
  readonly #supervisor: Supervisor
  readonly #ask: () => Promise<number | undefined>
  #most: Promise<number> | undefined

  /** `ask`: how many descriptors the service manager stores; undefined if that cannot be learnt. It is called once, when the first session is mounted. */
  constructor(supervisor: Supervisor, ask: () => Promise<number | undefined>) {
    this.#supervisor = supervisor
    this.#ask = ask
  }

  /** Why one more session than `count` would not be kept, and what to do. Undefined if it would be, or if there is no service manager. */
  async lacks(count: number): Promise<string | undefined> {
    if (this.#supervisor === 'none') return undefined
    this.#most ??= this.#ask().then((most) => Math.min(most ?? Infinity, MOST_NAMES))
    const most = await this.#most
    if (count < most) return undefined
    const advice = most === MOST_NAMES ? 'their names fill LISTEN_FDNAMES; use another dummy-fused' : ADVICE[this.#supervisor]
    return `${this.#supervisor} keeps the descriptors of ${most} sessions and has no room for one more; ${advice}`
  }
}
