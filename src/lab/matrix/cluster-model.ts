import type { Claim } from './claims.ts'
import type { OutcomeId } from './lab-record.ts'

/** Why a cluster differs from the bare node, by name. */
export const CLUSTER_CLAIMS = {
  inContainer: {
    reason:
      "The container runtime ends every process of the plugin's container with it, also a daemon that has detached itself from the plugin. On the bare node such a daemon runs outside of the container.",
    source: 'pid_namespaces(7); docs/kubernetes.md, "Which host mode to choose"',
  },
  keptMeanwhile: {
    reason:
      'On a cluster the daemon is stopped for longer, because a pod takes seconds to come to the plugin. The keeper kills a daemon that is stopped after 3 s, and its successor serves the same sessions. Until then the call of the plugin waits.',
    source: 'docs/keep.md',
  },
  stagedOnce: {
    reason:
      'The kubelet stages a volume once for all pods of a node. The failed attempt stands in the events of the pod for which it was made, and the other pods wait without a failed attempt of their own.',
    source: 'kubernetes pkg/volume/util/operationexecutor',
  },
} as const satisfies Record<string, Claim>

type ClusterClaimName = keyof typeof CLUSTER_CLAIMS

/** A line of the model for clusters alone, as those of model.ts are. */
type ClusterLine = readonly [
  failures: string,
  mitigations: string,
  consumers: string,
  outcome: OutcomeId | `${OutcomeId}|${string}`,
  claim: ClusterClaimName,
]

/** Where a cluster comes to something else than the bare node. The first line that fits counts; where none fits, the model of the bare node does. */
export const CLUSTER_MODEL: readonly ClusterLine[] = [
  ['daemon-replaced', 'KEPT', 'RUNNING', 'waits', 'keptMeanwhile'],
  ['mount-fails', 'waiting-parent,sync-init', '*', 'starts-late|works', 'stagedOnce'],
  ['PLUGIN_ENDS', 'SEPARATE', 'exits-on-error', 'restarted|writes-to-host-recovers', 'inContainer'],
  ['PLUGIN_ENDS', 'SEPARATE', 'opens-anew,slave-folder', 'recovers|writes-to-host-recovers', 'inContainer'],
  ['PLUGIN_ENDS', 'SEPARATE', 'RUNNING', 'errors', 'inContainer'],
]

/** What the lab does not try on a cluster, and why; as in `ABSENT` of model.ts. */
export const CLUSTER_ABSENT: readonly (readonly [failures: string, mitigations: string, reason: string])[] = [
  [
    'machine-crash',
    '*',
    'The lab acts on a cluster through pods of its own. A node that loses its power takes the pods of others along, and the cluster offers no way to cause that for some pods alone.',
  ],
  [
    '*',
    'service',
    'Pods have no systemd that holds their descriptors. On a cluster the keeper and the standby hold them: see the mitigation keep.',
  ],
  [
    '*',
    'health',
    'On a cluster the kubelet asks for the health of volumes, once a minute and with the feature gate CSIVolumeHealth only, and dummy-fuse-csi restarter evicts pods. The lab is no part of that.',
  ],
  [
    '*',
    'shield',
    'The lab tries the shield on the bare node alone. scripts/test-kubernetes shielded-pods ends the pods of a driver with shields beside readers.',
  ],
  [
    'daemon-upgraded',
    'SEPARATE',
    "In a pod, a detached daemon is in the plugin's container, and is upgraded with it: see the plugin's upgrade.",
  ],
]
