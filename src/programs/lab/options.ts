import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { InvalidArgumentError, Option } from 'commander'
import { codeOf, messageOf, UsageError } from '../../errors.ts'
import { driverCatalogue } from '../../lab/driver/matrix.ts'
import { parseDriver } from '../../lab/driver/parse.ts'
import type { DriverSpec } from '../../lab/driver/spec.ts'
import { CATALOGUE } from '../../lab/matrix/plan.ts'
import type { Catalogue } from '../../lab/matrix/lab-record.ts'
import type { Scenario } from '../../lab/scenario.ts'
import { BACKGROUND_MOUNTS, DEMONSTRATIONS, SCENARIOS } from '../../lab/scenarios/all.ts'
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
  readonly jobs: number
  readonly seed: number
  readonly keep: boolean
  readonly systemd: 'host' | 'nspawn' | 'none'
  /** A plugin in the place of ours. */
  readonly driver: DriverSpec | undefined
}

interface Parsed {
  failure: string[]
  mitigation: string[]
  consumer: string[]
  json?: string
  report?: string
  jobs: number
  seed: number
  keep?: true
  systemd: RunOptions['systemd']
  driver?: DriverSpec
}

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

Exit status: 0 all came out as the model says; 1 something did not, or was broken off; 2 usage error; 3 the lab cannot run on
this machine; 4 what ran came out as the model says, and some cells could not run; 128 + N ended by signal N.`

/** Reads the arguments of `lab run`. Throws UsageError. */
export function parseRunOptions(args: readonly string[]): RunOptions {
  const command = commandLine(NAME, 'Runs scenarios and cells of the matrix, and compares what it sees with the model.')
    .argument('[scenario...]', 'names of scenarios (see lab list)')
    .addOption(several('--failure <names>', 'only these failures', Object.keys(CATALOGUE.failures)))
    .addOption(several('--mitigation <names>', 'only these mitigations'))
    .addOption(several('--consumer <names>', 'only these consumers'))
    .option('--json <file>', 'write all that was seen to this file (docs/lab-record.md describes it)')
    .option('--report <file>', 'write a report to this HTML file')
    .option('--jobs <n>', 'number of cells that run at once', count, cpus().length)
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
    .addHelpText('after', HELP)
  parse(command, args)
  const { failure, mitigation, consumer, ...rest } = command.opts<Parsed>()
  const { mitigations, consumers } = rest.driver === undefined ? CATALOGUE : driverCatalogue(CATALOGUE)
  refuseUnknown('--mitigation', mitigation, mitigations)
  refuseUnknown('--consumer', consumer, consumers)
  const chosen = rest.driver !== undefined || failure.length + mitigation.length + consumer.length > 0
  const everything = command.args.length === 0 && !chosen
  const wantsCells = everything || chosen || command.args.includes('matrix')
  return {
    scenarios: everything ? SCENARIOS : scenariosOf(command.args),
    cells: wantsCells ? { failures: failure, mitigations: mitigation, consumers: consumer } : undefined,
    json: rest.json,
    report: rest.report,
    jobs: rest.jobs,
    seed: rest.seed,
    keep: rest.keep === true,
    systemd: rest.systemd,
    driver: rest.driver,
  }
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

/** An option that takes ids; `known`: all that there are, if that does not depend on other options. */
function several(flags: string, description: string, known?: readonly string[]): Option {
  return new Option(flags, description)
    .argParser((value: string, before: readonly string[]) => {
      const ids = value.split(',')
      const unknown = ids.find((id) => known?.includes(id) === false)
      if (unknown !== undefined) throw new InvalidArgumentError(`There is no '${unknown}'; there are ${known?.join(', ') ?? ''}.`)
      return [...before, ...ids]
    })
    .default([], 'all')
}

function count(value: string): number {
  const number = Number(value)
  if (!(Number.isInteger(number) && number >= 1 && number <= 1_000_000)) {
    throw new InvalidArgumentError('It is a whole number from 1 on.')
  }
  return number
}

/** Throws UsageError also if it cannot be read. */
function readDriver(file: string): DriverSpec {
  try {
    return parseDriver(readFileSync(file, 'utf8'), file)
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    throw new UsageError(`cannot read ${file}: ${messageOf(error)}`)
  }
}
