import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { InvalidArgumentError, Option } from 'commander'
import { codeOf, messageOf, UsageError } from '../../errors.ts'
import { driverCatalogue } from '../../lab/driver/matrix.ts'
import { parseDriver } from '../../lab/driver/parse.ts'
import type { DriverSpec } from '../../lab/driver/spec.ts'
import { DRIVER_FAILURES } from '../../lab/failures/all.ts'
import { CATALOGUE, titles } from '../../lab/matrix/plan.ts'
import type { Catalogue } from '../../lab/matrix/lab-record.ts'
import type { Scenario } from '../../lab/scenario.ts'
import { BACKGROUND_MOUNTS, DEMONSTRATIONS, SCENARIOS } from '../../lab/scenarios/all.ts'
import { absolute } from '../absolute.ts'
import { commandLine, parse } from '../command-line.ts'

const NAME = 'dummy-fuse-csi lab run'

/** What a call of `lab run` asks for. */
export interface RunOptions {
  readonly scenarios: readonly Scenario[]
  /** Which cells; undefined: none. Empty lists are all. */
  readonly cells:
    | { readonly failures: readonly string[]; readonly mitigations: readonly string[]; readonly consumers: readonly string[] }
    | undefined
  readonly json: string | undefined
  readonly report: string | undefined
  readonly markdown: string | undefined
  readonly junit: string | undefined
  readonly jobs: number
  readonly seed: number
  readonly keep: boolean
  readonly systemd: 'host' | 'nspawn' | 'none'
  /** A plugin in the place of ours. */
  readonly driver: DriverSpec | undefined
  /** Where the cells run: undefined on private nodes of this machine. */
  readonly cluster: ClusterChoice | undefined
}

/** What `--cluster` and the options that need it say. */
export interface ClusterChoice {
  readonly kubeconfig: string
  readonly node: string | undefined
  /** Undefined: that of this version, as `build.mjs --image` names it. */
  readonly image: string | undefined
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  readonly kubelet: string
  /** The record of a bare node. */
  readonly beside: { readonly file: string; readonly text: string } | undefined
}

interface Parsed {
  failure: string[]
  mitigation: string[]
  consumer: string[]
  json?: string
  report?: string
  markdown?: string
  junit?: string
  jobs?: number
  seed: number
  keep?: true
  systemd: RunOptions['systemd']
  driver?: DriverSpec
  cluster?: string
  node?: string
  image?: string
  imagePullPolicy: ClusterChoice['pullPolicy']
  kubeletDir: string
  beside?: ClusterChoice['beside']
}

type ClusterOptionsParsed = Pick<Parsed, 'node' | 'image' | 'imagePullPolicy' | 'kubeletDir' | 'beside'>

/** Options that mean something with --cluster only, and one that means nothing with it, by the names that commander gives them. */
const FOR_CLUSTERS = ['node', 'image', 'imagePullPolicy', 'kubeletDir', 'beside'] as const
const NOT_FOR_CLUSTERS = ['systemd', 'driver'] as const

/** Names of several scenarios together, or of the whole matrix. */
const SETS: Readonly<Record<string, readonly Scenario[]>> = {
  demonstrations: DEMONSTRATIONS,
  blobfuse2: BACKGROUND_MOUNTS,
  matrix: [],
}

const HELP = `
Without a scenario and a choice of cells everything is run: all scenarios and the whole matrix. SCENARIO is a name that lab list
prints, or demonstrations (plugin-restart and the two of restore-mounts), or blobfuse2 (mount-fails-unnoticed and mount-lands-late), or
matrix (every cell). --failure, --mitigation and --consumer choose cells. Each takes names with commas between them, and may be
given several times.

With --cluster the cells run as pods on one node of a Kubernetes cluster, in a namespace and with drivers of their own, which are removed at the
end; scenarios do not run there. docs/lab.md, "On a cluster", names the rights that the user of the kubeconfig needs.

Exit status: 0 all came out as the model says; 1 something did not, or was broken off; 2 usage error; 3 the lab cannot run on
this machine or cluster; 4 what ran came out as the model says, and some cells could not run; 128 + N ended by signal N.`

/** Reads the arguments of `lab run`. Throws UsageError. */
export function parseRunOptions(args: readonly string[]): RunOptions {
  const command = commandLine(NAME, 'Runs scenarios and cells of the matrix, and compares what it sees with the model.')
    .argument('[scenario...]', 'names of scenarios (see lab list)')
    .addOption(several('--failure <names>', 'only these failures'))
    .addOption(several('--mitigation <names>', 'only these mitigations'))
    .addOption(several('--consumer <names>', 'only these consumers'))
    .option('--json <file>', 'write all that was seen to this file (docs/lab-record.md describes it)')
    .option('--report <file>', 'write a report to this HTML file')
    .option('--markdown <file>', 'write the findings and the matrix to this file as Markdown')
    .option('--junit <file>', "write the results to this file as JUnit's XML, for CI")
    .option('--jobs <n>', 'number of cells that run at once (default: one for each processor; with --cluster 1)', count)
    .option('--seed <n>', 'seed of the order in which the cells run', count, 1)
    .addOption(
      new Option(
        '--systemd <whose>',
        'systemd for the cells that need one: nspawn, one that the lab boots; host, that of this machine; none',
      )
        .choices(['nspawn', 'host', 'none'])
        .default('nspawn'),
    )
    .addOption(new Option('--driver <file>', "test another CSI node plugin (docs/lab.md, 'Your own driver')").argParser(readDriver))
    .option('--keep', 'leave a folder with the transcripts and the logs')
    .option('--cluster <kubeconfig>', 'run the cells on a node of this Kubernetes cluster')
    .option('--node <name>', 'with --cluster: the node (default: the only one, or the first that is ready)')
    .option(
      '--image <image>',
      'with --cluster: the image of this version of dummy-fuse-csi (default: localhost/dummy-fuse-csi:VERSION)',
    )
    .addOption(
      new Option('--image-pull-policy <policy>', 'with --cluster: when the kubelet pulls the image')
        .choices(['Always', 'IfNotPresent', 'Never'])
        .default('IfNotPresent'),
    )
    .option('--kubelet-dir <folder>', "with --cluster: the kubelet's root folder on the node", '/var/lib/kubelet')
    .addOption(
      new Option('--beside <file>', 'with --cluster: the --json file of a run on a bare node, to compare with').argParser(
        readBeside,
      ),
    )
    .addHelpText('after', HELP)
  parse(command, args)
  const { failure, mitigation, consumer, ...rest } = command.opts<Parsed>()
  const { mitigations, consumers } = rest.driver === undefined ? CATALOGUE : driverCatalogue(CATALOGUE)
  const failures = rest.driver === undefined ? CATALOGUE.failures : titles(DRIVER_FAILURES)
  refuseUnknown('--failure', failure, failures)
  refuseUnknown('--mitigation', mitigation, mitigations)
  refuseUnknown('--consumer', consumer, consumers)
  const { cluster } = rest
  const given = (name: string): boolean => command.getOptionValueSource(name) === 'cli'
  const flagOf = (name: string): string => command.options.find((one) => one.attributeName() === name)?.long ?? name
  const stray = (cluster === undefined ? FOR_CLUSTERS : NOT_FOR_CLUSTERS).find(given)
  if (stray !== undefined)
    throw new UsageError(
      cluster === undefined
        ? `${flagOf(stray)} is for runs on a cluster; name one with --cluster`
        : `${flagOf(stray)} does not go with --cluster`,
    )
  const scenario = cluster === undefined ? undefined : command.args.find((name) => name !== 'matrix')
  if (scenario !== undefined)
    throw new UsageError(
      `'${scenario}' does not go with --cluster: scenarios run on a bare node; choose cells, or give no scenario`,
    )
  if (rest.driver?.systemd === true && rest.systemd !== 'nspawn')
    throw new UsageError(
      `the driver's file says systemd: true, which has each node be a machine of its own; leave out --systemd ${rest.systemd}`,
    )
  const chosen = rest.driver !== undefined || failure.length + mitigation.length + consumer.length > 0
  const everything = command.args.length === 0 && !chosen
  const wantsCells = everything || chosen || command.args.includes('matrix')
  return {
    scenarios: everything && cluster === undefined ? SCENARIOS : scenariosOf(command.args),
    cells: wantsCells ? { failures: failure, mitigations: mitigation, consumers: consumer } : undefined,
    json: rest.json,
    report: rest.report,
    markdown: rest.markdown,
    junit: rest.junit,
    jobs: rest.jobs ?? (cluster === undefined ? cpus().length : 1),
    seed: rest.seed,
    keep: rest.keep === true,
    systemd: rest.systemd,
    driver: rest.driver,
    cluster: cluster === undefined ? undefined : clusterChoice(cluster, rest),
  }
}

function clusterChoice(
  kubeconfig: string,
  { node, image, imagePullPolicy, kubeletDir, beside }: ClusterOptionsParsed,
): ClusterChoice {
  refuseEmpty('--cluster', kubeconfig, 'name the file of a kubeconfig, such as ~/.kube/config')
  refuseEmpty('--node', node, 'name a node, or leave it out')
  refuseEmpty('--image', image, 'name an image, or leave it out')
  refuseEmpty('--kubelet-dir', kubeletDir, "name the kubelet's root folder, or leave it out")
  if (!/^\/[^\s:]*[^\s:/]$/.test(kubeletDir))
    throw new UsageError(
      `--kubelet-dir ${kubeletDir} is not an absolute path without blanks, colons and a slash at its end; name the kubelet's root folder, such as /var/lib/kubelet`,
    )
  return { kubeconfig: absolute(kubeconfig), node, image, pullPolicy: imagePullPolicy, kubelet: kubeletDir, beside }
}

/** Throws UsageError for an option that is given without a value: a variable of a script that is not set. */
function refuseEmpty(option: string, value: string | undefined, remedy: string): void {
  if (value === '') throw new UsageError(`${option} is empty; ${remedy}`)
}

function scenariosOf(names: readonly string[]): readonly Scenario[] {
  const known = [...SCENARIOS.map(({ name }) => name), ...Object.keys(SETS)]
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new UsageError(`no scenario '${unknown}'; there are ${known.join(', ')} (see dummy-fuse-csi lab list)`)
  }
  return SCENARIOS.filter((scenario) => names.includes(scenario.name) || names.some((name) => SETS[name]?.includes(scenario)))
}

/** Which mitigations and consumers there are depends on whether a driver is given. Throws UsageError. */
function refuseUnknown(flag: string, ids: readonly string[], titles: Catalogue['mitigations']): void {
  const known = Object.keys(titles)
  const unknown = ids.find((id) => !known.includes(id))
  if (unknown !== undefined) throw new UsageError(`${flag}: there is no '${unknown}'; there are ${known.join(', ')}`)
}

/** An option that takes ids. */
function several(flags: string, description: string): Option {
  return new Option(flags, description)
    .argParser((value: string, before: readonly string[]) => [...before, ...value.split(',')])
    .default([], 'all')
}

function count(value: string): number {
  const number = Number(value)
  if (!(Number.isInteger(number) && number >= 1 && number <= 1_000_000)) {
    throw new InvalidArgumentError('It is a whole number from 1 on.')
  }
  return number
}

/** Throws UsageError if it cannot be read. */
function readBeside(file: string): ClusterChoice['beside'] {
  refuseEmpty('--beside', file, 'name the --json file of a run on a bare node, or leave it out')
  try {
    return { file, text: readFileSync(file, 'utf8') }
  } catch (error) {
    throw new UsageError(`--beside ${file}: ${messageOf(error)}; name the file that lab run --json has written on a bare node`)
  }
}

/** Throws UsageError also if it cannot be read. */
/** Reads a driver's file. Throws UsageError that names it. */
export function readDriver(file: string): DriverSpec {
  try {
    return parseDriver(readFileSync(file, 'utf8'), file)
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    throw new UsageError(`cannot read ${file}: ${messageOf(error)}`)
  }
}
