import { array, boolean, looseObject, nullish, number, object, optional, record, string, type InferOutput } from 'valibot'
import type { WatchSink } from '../../kubernetes/object-watch.ts'
import { checked } from '../../schema.ts'

const STATE = object({
  waiting: nullish(object({ reason: optional(string(), ''), message: optional(string(), '') })),
  running: nullish(object({})),
  terminated: nullish(object({ exitCode: optional(number(), 0), reason: optional(string(), '') })),
})

/** A pod, as far as the lab looks at it (k8s.io/api, core/v1/types.go). */
const POD = looseObject({
  metadata: object({
    name: string(),
    uid: string(),
    labels: optional(record(string(), string()), {}),
    deletionTimestamp: nullish(string()),
  }),
  status: optional(
    object({
      phase: optional(string(), ''),
      reason: optional(string(), ''),
      message: optional(string(), ''),
      containerStatuses: optional(
        array(
          object({
            name: string(),
            restartCount: number(),
            ready: boolean(),
            containerID: optional(string(), ''),
            state: optional(STATE, {}),
          }),
        ),
        [],
      ),
    }),
    {},
  ),
})

export type PodState = InferOutput<typeof POD>
type ContainerState = NonNullable<PodState['status']['containerStatuses']>[number]

/** The pods of a run's namespace, as a watch tells of them. */
export class Pods implements WatchSink {
  readonly #pods = new Map<string, PodState>()
  readonly #listeners = new Set<(pod: PodState) => void>()

  /** Called with each pod that is added or changes. Returns what ends that. */
  onChange(listener: (pod: PodState) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get(name: string): PodState | undefined {
    return this.#pods.get(name)
  }

  /** Those that have a label. */
  labelled(key: string, value: string): readonly PodState[] {
    return [...this.#pods.values()].filter(({ metadata }) => metadata.labels[key] === value)
  }

  readonly replace = (objects: readonly unknown[]): void => {
    const pods = objects.map((one) => checked(POD, one))
    this.#pods.clear()
    for (const pod of pods) this.#take(pod)
  }

  readonly changed = (one: unknown): void => {
    this.#take(checked(POD, one))
  }

  readonly deleted = (one: unknown): void => {
    this.#pods.delete(checked(POD, one).metadata.name)
  }

  readonly upToDate = (): void => undefined

  readonly interrupted = (): void => undefined

  #take(pod: PodState): void {
    this.#pods.set(pod.metadata.name, pod)
    for (const listener of this.#listeners) listener(pod)
  }
}

/** A container of a pod by its name; undefined before the kubelet tells of it. */
export function containerOf(pod: PodState | undefined, name: string): ContainerState | undefined {
  return pod?.status.containerStatuses.find((one) => one.name === name)
}

/** Why a pod does not run, in words; undefined if nothing says so. */
export function troubleOf({ status }: PodState): string | undefined {
  for (const { name, state } of status.containerStatuses) {
    const { waiting, terminated } = state
    if (waiting !== null && waiting !== undefined && waiting.reason !== 'ContainerCreating' && waiting.reason !== 'PodInitializing')
      return `container ${name} waits: ${waiting.reason}${waiting.message === '' ? '' : `: ${waiting.message}`}`
    if (terminated !== null && terminated !== undefined)
      return `container ${name} ended with exit status ${terminated.exitCode}${terminated.reason === '' ? '' : ` (${terminated.reason})`}`
  }
  if (status.phase === 'Failed') return `${status.reason}: ${status.message}`
  return undefined
}
