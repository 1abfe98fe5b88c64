import { Option } from 'commander'
import { UsageError } from '../../errors.ts'
import type { LogFormat } from '../../log.ts'
import type { MetricsAddress } from '../../metrics/metrics-endpoint.ts'
import { OPT_OUT } from '../../restarter/pod.ts'
import type { Rules } from '../../restarter/decision.ts'
import { absolute } from '../absolute.ts'
import { commandLine, count, logFormatOption, metricsAddressOption, parse, repeated, seconds } from '../command-line.ts'
import { requireDriverName } from '../driver-name.ts'

/** What a call of restarter asks for. */
export interface RestarterOptions {
  /** The path of a kubeconfig; undefined: the service account of this pod. */
  readonly kubeconfig: string | undefined
  /** The environment names the API server of a cluster, as in a pod. */
  readonly inPod: boolean
  readonly driverName: string
  /** A label selector for pods; undefined for all pods. */
  readonly selector: string | undefined
  readonly rules: Rules
  /** Undefined: the namespace of the pod or of the kubeconfig's context. */
  readonly leaseNamespace: string | undefined
  readonly leaseName: string
  /** Where metrics are served; undefined if they are not. */
  readonly metricsAddress: MetricsAddress | undefined
  readonly logFormat: LogFormat
}

interface Parsed {
  kubeconfig?: string
  drivername: string
  allDrivers?: true
  gracePeriod: number
  maxAtOnce: number
  maxPerInterval: number
  interval: number
  evictBarePods?: true
  selector?: string
  namespace: readonly string[]
  excludeNamespace: readonly string[]
  leaseNamespace?: string
  leaseName: string
  metricsAddress?: MetricsAddress
  logFormat: LogFormat
}

/** The grace period in seconds. The kubelet asks once a minute: two further questions have had the same answer by then. */
const GRACE_PERIOD = 150

/** For --max-at-once and --max-per-interval: these evictions stand in an annotation of the Lease, which has 256 KiB: 450 bytes for a slot, and 120 for each. */
const MOST_AT_ONCE = 300
const MOST_EVICTIONS = 1000

/** What a namespace or a Lease may be called (RFC 1123). */
const NAMESPACE = /^(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const LEASE = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/** Reads the arguments of restarter. Throws UsageError. */
export function parseRestarterOptions(args: readonly string[], env: NodeJS.ProcessEnv): RestarterOptions {
  const command = commandLine(
    'dummy-fuse-csi restarter',
    'Evicts pods of a Kubernetes cluster whose volumes stay inaccessible, by what the kubelet writes into their status (feature gate CSIVolumeHealth). Their controllers replace them.',
  )
    .option(
      '--kubeconfig <file>',
      'how to reach the API server; without it, the service account of this pod; $KUBECONFIG',
      env.KUBECONFIG,
    )
    .option('--drivername <name>', 'the CSI driver whose volumes count', 'dummy-fuse-csi')
    .option('--all-drivers', 'volumes of all CSI drivers count')
    .option('--grace-period <seconds>', 'how long the restarter must have seen a volume inaccessible', seconds(), GRACE_PERIOD)
    .addOption(
      new Option(
        '--max-at-once <number>',
        'how many evicted pods may wait for their replacements at the same time; each waits until its replacement is ready, for --interval at the most',
      )
        .argParser(count(MOST_AT_ONCE))
        .default(1),
    )
    .addOption(
      new Option('--max-per-interval <number>', 'how many pods may be evicted within --interval')
        .argParser(count(MOST_EVICTIONS))
        .default(10),
    )
    .option('--interval <seconds>', 'the time that --max-per-interval is for', seconds(1), 600)
    .option('--evict-bare-pods', 'evict pods without a controller too; nothing replaces them')
    .option('--selector <labels>', 'pods with these labels only, such as app=web,tier!=db')
    .addOption(
      new Option('--namespace <name>', 'pods of this namespace only; may be given several times')
        .argParser(repeated)
        .default([], 'all'),
    )
    .addOption(
      new Option('--exclude-namespace <name>', 'no pods of this namespace; may be given several times')
        .argParser(repeated)
        .default([], 'none'),
    )
    .option('--lease-namespace <name>', 'namespace of the Lease by which one of several restarters leads (default: its own)')
    .option('--lease-name <name>', 'name of that Lease', 'dummy-fuse-csi-restarter')
    .addOption(metricsAddressOption())
    .addOption(logFormatOption())
    .addHelpText(
      'after',
      `
A pod is left alone if it has the label or the annotation ${OPT_OUT.key}: "${OPT_OUT.value}", if the kubelet made it of a file (static), if it
belongs to a DaemonSet of the driver, or if it has no controller. Disruption budgets are respected.

Exit status: 0 stopped by SIGTERM or SIGINT; 1 failed, for example because the kubeconfig cannot be read; 2 usage error.`,
    )
  parse(command, args)
  const parsed = command.opts<Parsed>()
  requireDriverName(parsed.drivername)
  for (const name of [
    ...parsed.namespace,
    ...parsed.excludeNamespace,
    ...(parsed.leaseNamespace === undefined ? [] : [parsed.leaseNamespace]),
  ])
    requireName(NAMESPACE, name, 'namespace')
  requireName(LEASE, parsed.leaseName, 'Lease')
  if (parsed.selector === '') throw new UsageError('--selector is empty; name labels, or leave it out')
  const { kubeconfig = '' } = parsed
  return {
    kubeconfig: kubeconfig === '' ? undefined : absolute(kubeconfig),
    inPod: env.KUBERNETES_SERVICE_HOST !== undefined && env.KUBERNETES_SERVICE_HOST !== '',
    driverName: parsed.drivername,
    selector: parsed.selector,
    rules: {
      driver: parsed.allDrivers ? undefined : parsed.drivername,
      gracePeriod: parsed.gracePeriod * 1000,
      maxAtOnce: parsed.maxAtOnce,
      maxPerInterval: parsed.maxPerInterval,
      interval: parsed.interval * 1000,
      evictBarePods: parsed.evictBarePods ?? false,
      namespaces: parsed.namespace.length === 0 ? undefined : new Set(parsed.namespace),
      excludedNamespaces: new Set(parsed.excludeNamespace),
    },
    leaseNamespace: parsed.leaseNamespace,
    leaseName: parsed.leaseName,
    metricsAddress: parsed.metricsAddress,
    logFormat: parsed.logFormat,
  }
}

function requireName(pattern: RegExp, name: string, what: string): void {
  if (!pattern.test(name))
    throw new UsageError(
      `'${name}' is no name of a ${what}: lower-case letters, digits and dashes, with a letter or digit at both ends`,
    )
}
