import { looseObject, nullish, object, optional, string } from 'valibot'
import { checked } from '../../schema.ts'
import { type ClusterApi, PATHS, type Stored } from './cluster-api.ts'
import { AGENT, MANAGED_BY, RUN_LABEL } from './names.ts'

/** Milliseconds that a run has for its start, and for its end: until then its agent may not run. */
const TRANSITION = 600_000

const STATUS = looseObject({ status: optional(object({ phase: optional(string(), '') }), { phase: '' }) })
const DELETION = looseObject({ metadata: looseObject({ deletionTimestamp: nullish(string(), '') }) })

/** What a run has left on a cluster: its name, and its objects in words. */
interface Leftover {
  readonly run: string
  readonly objects: readonly string[]
}

/** The runs that have left something behind, without those that go on: the agent of a run ends with it. `now`: milliseconds since 1970. */
export async function findLeftovers(api: ClusterApi, now: number): Promise<readonly Leftover[]> {
  const labelSelector = `${MANAGED_BY.key}=${MANAGED_BY.value}`
  const [namespaces, volumes, drivers] = await Promise.all([
    api.list(PATHS.namespaces, { labelSelector }),
    api.list(PATHS.volumes, { labelSelector }),
    api.list(PATHS.drivers, { labelSelector }),
  ])
  const found = new Map<string, string[]>()
  const running = new Set<string>()
  const add = (run: string, object: string): void => {
    found.set(run, [...(found.get(run) ?? []), object])
  }
  for (const namespace of namespaces) {
    const { name } = namespace.metadata
    if (await goesOn(api, namespace, now)) running.add(name)
    else add(name, `namespace ${name}`)
  }
  for (const [kind, objects] of [
    ['PersistentVolume', volumes],
    ['CSIDriver', drivers],
  ] as const)
    for (const { metadata } of objects) add(runOf(metadata), `${kind} ${metadata.name}`)
  return [...found].filter(([run]) => !running.has(run)).map(([run, objects]) => ({ run, objects }))
}

function runOf({ labels }: Stored['metadata']): string {
  return (labels as Readonly<Record<string, string>> | undefined)?.[RUN_LABEL] ?? ''
}

async function goesOn(api: ClusterApi, namespace: Stored, now: number): Promise<boolean> {
  const { name, creationTimestamp } = namespace.metadata
  const { deletionTimestamp } = checked(DELETION, namespace).metadata
  const since = Date.parse(deletionTimestamp === '' ? creationTimestamp : deletionTimestamp)
  const agent = await api.get(PATHS.pods(name), AGENT)
  const { phase } = agent === undefined ? { phase: '' } : checked(STATUS, agent).status
  if (phase === 'Running') return true
  const ends = deletionTimestamp !== ''
  return (ends || phase === '' || phase === 'Pending') && now - since < TRANSITION
}

/** A leftover in one line, with what removes it. */
export function describeLeftover({ run, objects }: Leftover): string {
  const commands = [
    `kubectl delete pods --namespace ${run} --selector app.kubernetes.io/component=consumer`,
    `kubectl delete namespace ${run}`,
    `kubectl delete persistentvolumes,csidrivers --selector ${RUN_LABEL}=${run}`,
  ]
  return `a run that was killed has left ${objects.join(', ')}, and on its node the folders plugins/${run}-* of the kubelet; remove it with: ${commands.join('; ')}`
}
