import type { InaccessibleVolume, Pod } from './pod.ts'

/** Which pods are evicted, and how many. */
export interface Rules {
  /** The CSI driver whose volumes count; undefined: those of all drivers. */
  readonly driver: string | undefined
  /** Milliseconds for which a volume must have been seen inaccessible. */
  readonly gracePeriod: number
  /** Evicted pods whose replacements are waited for at the same time, at the most. */
  readonly maxAtOnce: number
  /** Evictions within {@link interval}, at the most. */
  readonly maxPerInterval: number
  /** Milliseconds. */
  readonly interval: number
  /** Pods without a controller are evicted too, though nothing makes a replacement. */
  readonly evictBarePods: boolean
  /** Pods in these namespaces alone; undefined: in all. */
  readonly namespaces: ReadonlySet<string> | undefined
  /** Never pods in these. */
  readonly excludedNamespaces: ReadonlySet<string>
}

/** What is known beside a pod's own fields. Times are milliseconds of Clock.monotonic. */
export interface Facts {
  readonly now: number
  /** The CSI driver of a pod's volume; undefined if it is not known. */
  readonly driverOf: (pod: Pod, volume: string) => string | undefined
  /** Since when a pod's volume is seen to be inaccessible. */
  readonly sinceOf: (pod: Pod, volume: string) => number | undefined
  /** Before which a pod is not tried again that could not be evicted for its volume. */
  readonly retryAt: (pod: Pod, volume: string) => number | undefined
}

/** Why a pod is, or would be, evicted. */
export interface Cause {
  readonly volume: InaccessibleVolume
  /** Milliseconds of Clock.monotonic. */
  readonly since: number
}

/**
 * What is done with a pod. `leave`: nothing, as it is; `wait`: it is judged again at that time; `bare`: it would be evicted if it had a controller.
 */
export type Verdict =
  | { readonly kind: 'leave' }
  | { readonly kind: 'wait'; readonly until: number }
  | { readonly kind: 'bare'; readonly cause: Cause }
  | { readonly kind: 'evict'; readonly cause: Cause }

const LEAVE: Verdict = { kind: 'leave' }

/** Decides on one pod, without regard to how many others are evicted. */
export function judge(pod: Pod, rules: Rules, facts: Facts): Verdict {
  if (pod.inaccessible.length === 0 || pod.over || pod.deleted !== undefined) return LEAVE
  if (pod.isStatic || pod.isDriver || pod.optedOut) return LEAVE
  if (rules.namespaces?.has(pod.namespace) === false || rules.excludedNamespaces.has(pod.namespace)) return LEAVE
  const cause = causeOf(pod, rules, facts)
  if (cause === undefined) return LEAVE
  const until = Math.max(cause.since + rules.gracePeriod, facts.retryAt(pod, cause.volume.name) ?? 0)
  if (until > facts.now) return { kind: 'wait', until }
  return { kind: pod.controller === undefined && !rules.evictBarePods ? 'bare' : 'evict', cause }
}

/** The volume that has been inaccessible for the longest time. */
function causeOf(pod: Pod, { driver }: Rules, { driverOf, sinceOf }: Facts): Cause | undefined {
  const causes = pod.inaccessible.flatMap((volume): readonly Cause[] => {
    const since = sinceOf(pod, volume.name)
    const counts = driver === undefined || driverOf(pod, volume.name) === driver
    return since !== undefined && counts ? [{ volume, since }] : []
  })
  return causes.toSorted(byTime)[0]
}

/** The cause that was seen first comes first. Of those that were seen together, the kubelets' times decide, which differ between nodes. */
function byTime(a: Cause, b: Cause): number {
  return a.since - b.since || (a.volume.lastTransition ?? Infinity) - (b.volume.lastTransition ?? Infinity) || 0
}

/** A pod with its verdict's cause. */
export interface Judged {
  readonly pod: Pod
  readonly cause: Cause
}

/** How much of the limits is used up. Times are milliseconds of Clock.monotonic. */
export interface Used {
  /** Evicted pods whose replacements are waited for. */
  readonly atOnce: number
  /** The times of the evictions within the interval, in any order. */
  readonly withinInterval: readonly number[]
}

/** What is to be done now. */
export interface Decision {
  /** Those to evict, in this order: first the one whose volume has been inaccessible for the longest time. */
  readonly evict: readonly Judged[]
  /** Those that are left because they have no controller. */
  readonly bare: readonly Judged[]
  /** When to decide again though no pod changes; undefined: not before one does. Milliseconds of Clock.monotonic. */
  readonly next: number | undefined
}

/** Decides on all pods. */
export function decide(pods: Iterable<Pod>, used: Used, rules: Rules, facts: Facts): Decision {
  const ready: Judged[] = []
  const bare: Judged[] = []
  const times: number[] = []
  for (const pod of pods) {
    const verdict = judge(pod, rules, facts)
    if (verdict.kind === 'evict') ready.push({ pod, cause: verdict.cause })
    else if (verdict.kind === 'bare') bare.push({ pod, cause: verdict.cause })
    else if (verdict.kind === 'wait') times.push(verdict.until)
  }
  ready.sort((a, b) => byTime(a.cause, b.cause))
  const roomOfInterval = rules.maxPerInterval - used.withinInterval.length
  const room = Math.max(Math.min(rules.maxAtOnce - used.atOnce, roomOfInterval), 0)
  if (ready.length > room && roomOfInterval <= room) {
    const oldest = used.withinInterval.length === 0 ? facts.now : Math.min(...used.withinInterval)
    times.push(oldest + rules.interval)
  }
  return { evict: ready.slice(0, room), bare, next: times.length === 0 ? undefined : Math.min(...times) }
}
