import { type CallContext, timeToAnswer } from '../call-context.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { type FoundNamespaces, type MountNamespace, type MountNamespaces, podOfPath } from '../os/mounts/mount-namespaces.ts'
import type { Prober } from '../os/mounts/prober.ts'
import { bound, type PublishedEntry } from './mount-cache-entry.ts'
import type { MountCache } from './mount-cache.ts'
import type { MountStates } from './mount-states.ts'

type HeldMount = MountNamespace['mounts'][number]

/** The dependencies of {@link StaleConsumers}. */
export interface StaleConsumersParts {
  readonly namespaces: Pick<MountNamespaces, 'search'>
  readonly cache: Pick<MountCache, 'staged' | 'stagedAt' | 'publishedAt'>
  readonly states: Pick<MountStates, 'mountAt'>
  readonly prober: Pick<Prober, 'ask'>
  /** /proc/sys/kernel/random/boot_id: no consumer outlives a reboot. */
  readonly bootId: string
  /** Milliseconds for a search of /proc, after which the consumers count as unseen; and for a mount that is found, after which it counts as dead. */
  readonly time: number
}

/**
 * The consumers of a target that have a session which was replaced there. A consumer in a mount namespace of its own got its mount when it was started, and keeps
 * it: what is bound to the target later does not reach it, unless the mount propagates.
 */
export class StaleConsumers {
  readonly #parts: StaleConsumersParts

  constructor(parts: StaleConsumersParts) {
    this.#parts = parts
  }

  /**
   * The consumers of a target that have an earlier session than `device`, which is bound there: a text for each, which names its process; none if no consumer has
   * one. `unseen` where consumers cannot be seen and one may have an earlier session. Without `device` nothing of the volume is bound there, and only a consumer that
   * is seen counts. /proc is searched only for a target at which a session was replaced in this boot.
   */
  async of(entry: PublishedEntry, device: string | undefined, call: CallContext): Promise<readonly string[] | 'unseen'> {
    const { bootId } = this.#parts
    if (entry.bootId !== bootId) return []
    const { replaced = [] } = device === undefined ? entry : bound(entry, { bootId, device, found: undefined })
    if (replaced.length === 0) return []
    const found = await this.#search(call)
    const devices = device === undefined ? replaced : [device]
    if (found === undefined || !devices.some(found.whole)) return device === undefined ? [] : 'unseen'
    const stale = await Promise.all(
      found.namespaces.map(async (namespace) => {
        const held = namespace.mounts.filter(
          (mount) => replaced.includes(mount.device) && this.#mayBeOf(entry, found, namespace, mount),
        )
        const ended = await Promise.all(held.map((mount) => this.#isEnded(namespace, mount, call)))
        return ended.includes(true) ? [describe(namespace)] : []
      }),
    )
    return stale.flat()
  }

  /**
   * Whether a mount in a consumer's namespace is of a session that has ended. The number of a session that is gone everywhere is used again: a mount that answers is
   * another's.
   */
  async #isEnded({ pid }: MountNamespace, { device, mountPoint }: HeldMount, call: CallContext): Promise<boolean> {
    if (this.#isServing(device)) return false
    const { prober, time } = this.#parts
    const answer = await settledWithin(prober.ask(`/proc/${pid}/root${mountPoint}`, device, call), Math.min(time, call.remaining()))
    return answer === 'late' || (answer.kind !== 'alive' && answer.kind !== 'absent')
  }

  async #search(call: CallContext): Promise<FoundNamespaces | undefined> {
    const { namespaces, time } = this.#parts
    const found = await settledWithin(
      namespaces.search().catch(() => undefined),
      Math.min(time, call.remaining(), timeToAnswer(call)),
    )
    return found === 'late' ? undefined : found
  }

  /**
   * Whether a mount in a namespace may be a consumer's, and come from the entry's target. All targets of a volume have the same device, so that the pod decides
   * where pods can be told; else a copy of the node's mounts has each target's at its own place.
   */
  #mayBeOf(
    { targetPath, pod: named }: PublishedEntry,
    { seesPods }: FoundNamespaces,
    { own, pod }: MountNamespace,
    { mountPoint }: HeldMount,
  ): boolean {
    if (own) return false
    const podOfTarget = podOfPath(targetPath) ?? named?.uid
    if (seesPods && podOfTarget !== undefined) return pod === podOfTarget
    if (mountPoint === targetPath) return true
    const { cache } = this.#parts
    return cache.stagedAt(mountPoint) === undefined && cache.publishedAt(mountPoint) === undefined
  }

  /** Whether a volume is staged with this device: then it has the number of a session that is gone from every namespace. */
  #isServing(device: string): boolean {
    const { cache, states } = this.#parts
    return cache.staged().some(({ stagingPath }) => {
      try {
        return states.mountAt(stagingPath)?.device === device
      } catch {
        return false
      }
    })
  }
}

function describe({ pid, name, pod }: MountNamespace): string {
  return `process ${pid} (${name})${pod === undefined ? '' : ` of pod ${pod}`}`
}
