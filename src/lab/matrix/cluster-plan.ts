import { CLUSTER_ABSENT, CLUSTER_CLAIMS, CLUSTER_MODEL } from './cluster-model.ts'
import type { Expectation } from './job.ts'
import type { Absent, Catalogue, Title } from './lab-record.ts'
import { type Choice, expectationOf, fits, plan, type PlannedCell } from './plan.ts'

/** How a cluster does what the failures and mitigations of the catalogue are; the titles stay. */
const WORDS: {
  readonly failures: Readonly<Record<string, string>>
  readonly mitigations: Readonly<Record<string, string>>
  readonly consumers: string
} = {
  failures: {
    'plugin-killed':
      "Process 1 of the plugin's container is killed (SIGKILL), and with it every process in the container. The kubelet starts the container again.",
    'plugin-restarted': "The plugin's pod is deleted: SIGTERM, then the DaemonSet's controller makes a new pod.",
    'plugin-upgraded': "The DaemonSet of the plugin gets another template: a rolling update replaces the plugin's pod.",
    'daemon-upgraded': 'The DaemonSet of dummy-fused gets another template: a rolling update replaces its pod.',
    'daemon-hung': 'The process that answers the kernel is stopped (SIGSTOP) for 3.8 seconds, and then resumed.',
    'daemon-replaced':
      'The process that answers the kernel is stopped (SIGSTOP) for 8.8 seconds. During that time one more pod is created, which the plugin cannot serve without a daemon that answers.',
  },
  mitigations: {
    separate:
      "The FUSE daemons are detached from the plugin (--fuse-host detached), in the plugin's container. Mounts are restored.",
    'separate-shared': "One daemon for all volumes is detached from the plugin, in the plugin's container. Mounts are restored.",
    keep: "One daemon serves all volumes in a pod of its own, under dummy-fuse-csi keep. A standby in the plugin's pod serves while that pod is replaced.",
  },
  consumers:
    "On a cluster, a pod with the kubelet's folder of pods and mountPropagation HostToContainer stands for a process on the node.",
}

/** The cells of a choice on a cluster, row by row, and what is absent from it with its reason. */
export function planCluster(choice: Choice): ReturnType<typeof plan> {
  const planned = plan(choice)
  const cells: PlannedCell[] = []
  const absent: Absent[] = []
  for (const cell of planned.cells) {
    const [failure, mitigation] = [cell.failure.id, cell.mitigation.id]
    const [, , reason] =
      CLUSTER_ABSENT.find(([failures, mitigations]) => fits(failures, failure) && fits(mitigations, mitigation)) ?? []
    if (reason !== undefined) absent.push({ failure, mitigation, reason })
    else cells.push({ ...cell, consumers: withDifferences(cell) })
  }
  const has = ({ failure, mitigation }: Absent): boolean =>
    absent.some((one) => one.failure === failure && one.mitigation === mitigation)
  return { cells, absent: [...planned.absent.filter((one) => !has(one)), ...absent] }
}

/** The catalogue of a run on a cluster. */
export function clusterCatalogue(catalogue: Catalogue): Catalogue {
  const reworded = (titles: Readonly<Record<string, Title>>, words: Readonly<Record<string, string>>): Record<string, Title> =>
    Object.fromEntries(Object.entries(titles).map(([id, one]) => [id, { ...one, words: words[id] ?? one.words }]))
  const consumers = Object.entries(catalogue.consumers).map(([id, one]): [string, Title] => [
    id,
    one.words.startsWith('A process on the node') ? { ...one, words: `${one.words} ${WORDS.consumers}` } : one,
  ])
  return {
    ...catalogue,
    failures: reworded(catalogue.failures, WORDS.failures),
    mitigations: reworded(catalogue.mitigations, WORDS.mitigations),
    consumers: Object.fromEntries(consumers),
  }
}

function withDifferences({ failure, mitigation, consumers }: PlannedCell): PlannedCell['consumers'] {
  return Object.fromEntries(
    Object.entries(consumers).map(([consumer, expected]) => [
      consumer,
      differenceOf(failure.id, mitigation.id, consumer) ?? expected,
    ]),
  )
}

/** What a cluster comes to instead of what the bare node does; undefined where they are to agree. */
function differenceOf(failure: string, mitigation: string, consumer: string): Expectation | undefined {
  const line = CLUSTER_MODEL.find(
    ([failures, mitigations, consumers]) => fits(failures, failure) && fits(mitigations, mitigation) && fits(consumers, consumer),
  )
  return line === undefined ? undefined : expectationOf(line[3], CLUSTER_CLAIMS[line[4]])
}
