import { constants as osConstants, cpus, release, tmpdir } from 'node:os'
import { ProgramError } from '../../errors.ts'
import type { Programs } from '../../lab/command.ts'
import { KeptFolder } from '../../lab/kept-folder.ts'
import { Lab, type Observer } from '../../lab/lab.ts'
import { composeRecord, type Run } from '../../lab/matrix/compose.ts'
import { ofDaemon, ofTime } from '../../lab/driver/findings.ts'
import { driverCatalogue, planDriver } from '../../lab/driver/matrix.ts'
import { planFirstUse, withoutUnready } from '../../lab/driver/first-use.ts'
import { cureTrial, undecidedBelowNeed, watchedForCure, watchedForItsNeed } from '../../lab/driver/need.ts'
import type { DriverSeen } from '../../lab/driver/seen.ts'
import { CATALOGUE, plan, type PlannedCell } from '../../lab/matrix/plan.ts'
import { Progress } from '../../lab/matrix/progress.ts'
import type { Cell, LabRecord } from '../../lab/matrix/lab-record.ts'
import { OUTCOMES } from '../../lab/matrix/outcomes.ts'
import type { DriverSpec } from '../../lab/driver/spec.ts'
import { carryOutPrivately } from '../../lab/matrix/private-cells.ts'
import { type CellObserver, type CellOptions, runCells } from '../../lab/matrix/run-cells.ts'
import { table } from '../../lab/matrix/table.ts'
import { junit } from '../../lab/report/junit.ts'
import { renderReport } from '../../lab/report/report.ts'
import { summaryMarkdown } from '../../lab/report/summary-markdown.ts'
import { systemdVersion } from '../../lab/machine.ts'
import { LateSystemd } from '../../lab/systemd.ts'
import { preflight } from '../../lab/preflight.ts'
import { Printer } from '../../lab/printer.ts'
import type { ScenarioRecord } from '../../lab/scenario-record.ts'
import { oneLine, printable, shortened } from '../../printable.ts'
import { version } from '../../version.ts'
import type { ProgramContext } from '../program.ts'
import { notTriedLines, reasonsOf } from './absent.ts'
import { runOnCluster } from './cluster.ts'
import { requireDriver } from './driver.ts'
import { type ClusterChoice, parseRunOptions, type RunOptions } from './options.ts'
import { save, writable } from './output-file.ts'

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Bytes of the reason for which a driver cannot be tested: it has the driver's last lines too. */
const LONGEST_REASON = 1500

/** What ran came out as the model says, and some of it could not run. */
const NOT_ALL_RAN = 4

/** lab run. Resolves to the exit status. */
export async function run(context: ProgramContext, args: readonly string[]): Promise<number> {
  const options = parseRunOptions(args)
  if (options.cluster === undefined) preflight()
  const { json, report, markdown, junit: xml } = options
  const files = { json: writable(json), report: writable(report), markdown: writable(markdown), junit: writable(xml) }
  const folder = options.keep ? new KeptFolder(tmpdir()) : undefined
  const startedAt = new Date().toISOString()
  const start = performance.now()
  const { signal, exitStatus } = stopOnSignal()
  const how = { context, options, folder, signal }
  const ran = options.cluster === undefined ? await onPrivateNodes(how) : await onCluster(how, options.cluster)
  if (ran === undefined) return exitStatus() ?? 1
  const record = composeRecord({
    tool: { name: 'dummy-fuse-csi', ...version() },
    driver: options.driver?.name ?? 'dummy-fuse-csi',
    startedAt,
    tookMs: Math.round(performance.now() - start),
    jobs: options.jobs,
    seed: options.seed,
    complete: ran.part.cells.length === ran.planned && ran.part.scenarios.length === options.scenarios.length,
    ...ran.part,
  })
  if (record.cells.length > 0) process.stdout.write(printable(`\n${table(record.cells, record.absent)}`))
  if (options.driver !== undefined)
    process.stdout.write(
      notTriedLines(record)
        .map((line) => `${oneLine(line)}\n`)
        .join(''),
    )
  if (files.json !== undefined) save(files.json, `${JSON.stringify(record)}\n`)
  if (files.markdown !== undefined) save(files.markdown, summaryMarkdown(record))
  if (files.junit !== undefined) save(files.junit, junit(record))
  if (files.report !== undefined) {
    save(files.report, renderReport(record))
    process.stdout.write(`\nreport: ${oneLine(files.report)}\n`)
  }
  if (folder !== undefined) process.stdout.write(`\nkept in ${oneLine(folder.path)}\n`)
  if (ran.problem !== undefined) throw ran.problem
  return exitStatus() ?? statusOf(record)
}

/** What a run is about, and where its files go. */
interface How {
  readonly context: ProgramContext
  readonly options: RunOptions
  readonly folder: KeptFolder | undefined
  readonly signal: AbortSignal
}

/** What a run brings to its record. */
interface Ran {
  readonly part: Omit<Run, 'tool' | 'driver' | 'startedAt' | 'tookMs' | 'jobs' | 'seed' | 'complete'>
  /** How many cells were chosen. */
  readonly planned: number
  /** Why the run has failed though it has a record. */
  readonly problem?: ProgramError | undefined
}

async function onPrivateNodes({ context, options, folder, signal }: How): Promise<Ran> {
  const { driver } = options
  // What the file alone rules out needs no trial.
  requireCells(planned(options), options)
  const shown = driver === undefined ? undefined : await requireDriver(context, driver, signal)
  if (driver !== undefined && shown !== undefined)
    for (const { what } of [...ofTime(driver, shown), ...ofDaemon(driver, shown)])
      process.stdout.write(`${oneLine(`the driver's file: ${what}`)}\n`)
  const chosen = planned(options, shown)
  const { cells, absent } = chosen
  requireCells(chosen, options)
  await using systemd = new LateSystemd(options.systemd, tmpdir(), executables(context))
  const carryOutWith =
    (given: DriverSpec | undefined) =>
    async (cell: PlannedCell): Promise<Cell> => {
      const means = { inside: context.self(['lab', 'inside']), programs: programs(context), env: context.env, driver: given }
      return await carryOutPrivately(cell, { ...means, systemd: () => systemd.get() }, signal)
    }
  const how = { context, options, folder, signal }
  // The machines of a driver have the files of this one.
  const whose = driver?.systemd === true ? `nspawn ${await systemdVersion()}` : undefined
  const node = (): Ran['part']['node'] => ({ kernel: release(), systemd: whose ?? systemd.name, cpus: cpus().length })
  if (driver === undefined) {
    const scenarios = await runScenarios(context, options, folder, signal)
    const seen = await runMatrix(how, cells, carryOutWith(undefined))
    return { part: { node: node(), catalogue: CATALOGUE, cells: seen, absent, scenarios }, planned: cells.length }
  }
  const first = await tryFirstUse(chosen, driver, shown, carryOutWith(driver), signal)
  if (first.seen !== undefined) folder?.addCell(first.seen)
  const scenarios = await runScenarios(context, options, folder, signal)
  const seen = first.driver.watchIsGiven
    ? await runMatrix(how, first.plan.cells, carryOutWith(first.driver))
    : await runWithCureTrial(how, first.plan.cells, first.driver, carryOutWith)
  const part = { node: node(), catalogue: driverCatalogue(CATALOGUE), cells: seen, absent: first.plan.absent, scenarios }
  return { part: { ...part, ...(first.seen === undefined ? {} : { firstUse: first.seen }) }, planned: first.plan.cells.length }
}

/**
 * Carries out the cell without a failure, and says in a line what was seen. Returns what is left of the plan, and how the driver is watched. Throws ProgramError,
 * status 1, with the reason if that cell cannot be run: no other can, and each would say the same.
 */
async function tryFirstUse(
  whole: ReturnType<typeof plan>,
  driver: DriverSpec,
  shown: DriverSeen | undefined,
  carryOut: (cell: PlannedCell) => Promise<Cell>,
  signal: AbortSignal,
): Promise<{ readonly seen?: Cell; readonly plan: ReturnType<typeof plan>; readonly driver: DriverSpec }> {
  const first = planFirstUse(whole.cells)
  if (first === undefined) return { plan: whole, driver }
  const seen = await carryOut(first)
  if (seen.verdict === 'not-run') {
    if (signal.aborted) return { plan: whole, driver }
    throw new ProgramError(
      `the driver ${driver.name} cannot be tested: the first use, which is without a failure, cannot be run: ${shortened(seen.why ?? 'no reason was given', LONGEST_REASON)}`,
      1,
    )
  }
  const badly = seen.consumers.filter(({ seen: outcome }) => OUTCOMES[outcome].rank > OUTCOMES.waits.rank)
  const others = badly.map(({ consumer, seen: outcome }) => `${consumer} (${OUTCOMES[outcome].title})`)
  process.stdout.write(
    `first use: ${seen.consumers.length - badly.length} of ${seen.consumers.length} consumers read right from the beginning${others.length === 0 ? '' : `; not ${others.join(', ')}`}\n`,
  )
  return { seen, plan: withoutUnready(whole, first, seen), driver: watchedForItsNeed(driver, shown, [seen]) }
}

async function onCluster(how: How, cluster: ClusterChoice): Promise<Ran | undefined> {
  const ran = await runOnCluster(how.options, cluster, (cells, carryOut) => runMatrix(how, cells, carryOut), how.signal)
  return ran === undefined ? undefined : { ...ran, part: { ...ran.part, scenarios: [] } }
}

function planned({ cells, driver }: RunOptions, shown?: DriverSeen): ReturnType<typeof plan> {
  if (cells === undefined) return { cells: [], absent: [] }
  return driver === undefined ? plan(cells) : planDriver(driver, cells, shown)
}

/** Throws ProgramError, status 2, with the reasons if nothing of what was chosen can be run. */
function requireCells({ cells, absent }: ReturnType<typeof plan>, { scenarios }: RunOptions): void {
  if (cells.length > 0 || scenarios.length > 0) return
  const reasons = absent.length === 0 ? ['No cell has these consumers.'] : reasonsOf(absent)
  throw new ProgramError(`nothing of what was chosen can be run: ${reasons.join(' ')}`, 2)
}

async function runScenarios(
  context: ProgramContext,
  { scenarios }: RunOptions,
  folder: KeptFolder | undefined,
  signal: AbortSignal,
): Promise<readonly ScenarioRecord[]> {
  if (scenarios.length === 0) return []
  const printer = new Printer((text) => process.stdout.write(text), colours(context.env))
  const observer: Observer = {
    begin: (scenario) => {
      printer.begin(scenario)
    },
    step: (step) => {
      printer.step(step)
    },
    end: (record) => {
      printer.end(record)
      folder?.add(record)
    },
  }
  const lab = new Lab({ inside: context.self(['lab', 'inside']), programs: programs(context), env: context.env })
  const records = await lab.run(scenarios, observer, signal)
  printer.summary(records)
  return records
}

async function runMatrix(how: How, cells: readonly PlannedCell[], carryOut: CellOptions['carryOut']): Promise<readonly Cell[]> {
  const { options, signal } = how
  return await runCells(cells, { ...options, carryOut }, observerOf(how, cells.length), signal)
}

/** The cells that show how long a cure takes run first. The others are watched for as long as that says. */
async function runWithCureTrial(
  how: How,
  cells: readonly PlannedCell[],
  driver: DriverSpec,
  carryOutWith: (driver: DriverSpec) => CellOptions['carryOut'],
): Promise<readonly Cell[]> {
  const { options, signal } = how
  const observer = observerOf(how, cells.length)
  const trial = cureTrial(cells)
  const cure = watchedForCure(driver)
  if (trial.length > 0)
    process.stdout.write(
      `${trial.map(({ failure }) => failure.id).join(', ')}: watched for ${cure.watch / 1000} s, to see how long a cure takes (watch in the file of the driver says it)\n`,
    )
  const tried = await runCells(trial, { ...options, carryOut: carryOutWith(cure) }, observer, signal)
  const others = cells.filter((cell) => !trial.includes(cell))
  const ran = await runCells(
    others,
    { ...options, carryOut: carryOutWith(watchedForItsNeed(driver, undefined, tried)) },
    observer,
    signal,
  )
  const all = undecidedBelowNeed([...tried, ...ran])
  return cells.flatMap(({ failure, mitigation }) =>
    all.filter((cell) => cell.failure === failure.id && cell.mitigation === mitigation.id),
  )
}

function observerOf({ context, folder }: How, total: number): CellObserver {
  const write = (text: string): void => {
    process.stdout.write(text)
  }
  const progress = new Progress(write, process.stdout.isTTY, colours(context.env), total)
  return {
    begin: progress.begin.bind(progress),
    end: (cell: Cell): void => {
      progress.end(cell)
      folder?.addCell(cell)
    },
  }
}

function programs(context: ProgramContext): Programs {
  return {
    plugin: context.other('dummy-fuse-csi', ['serve']),
    workload: context.other('dummy-fuse-workload', []),
    fused: context.other('dummy-fused', []),
    keep: context.other('dummy-fuse-csi', ['keep']),
    shield: context.other('dummy-fuse-csi', ['shield']),
    fuse: context.other('dummy-fuse-csi', ['fuse']),
    consumer: context.other('dummy-fuse-csi', ['lab-consumer']),
  }
}

/** The files that a machine of the lab's own has to have. */
function executables(context: ProgramContext): readonly string[] {
  const commands = [...Object.values({ ...programs(context) }), context.self([])]
  return [...new Set(commands.map(({ executable }) => executable).filter((path) => path.startsWith('/')))]
}

function statusOf({ passed, cells, scenarios }: LabRecord): number {
  if (passed) return 0
  const ran = cells.filter(({ verdict }) => verdict !== 'not-run')
  const well =
    ran.every(({ verdict }) => verdict === 'as-modelled' || verdict === 'measured') &&
    scenarios.every(({ outcome }) => outcome === 'as expected')
  return well && ran.length > 0 && ran.length < cells.length ? NOT_ALL_RAN : 1
}

/** https://no-color.org: any value but an empty one turns them off. */
function colours(env: NodeJS.ProcessEnv): boolean {
  return process.stdout.isTTY && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

/** Ends the run at the first ending signal, and when nobody reads our output any more; `exitStatus` gives the exit status then. */
function stopOnSignal(): { signal: AbortSignal; exitStatus: () => number | undefined } {
  const controller = new AbortController()
  let status: number | undefined
  const end = (name: NodeJS.Signals): void => {
    status ??= 128 + osConstants.signals[name]
    controller.abort()
  }
  for (const name of ENDING) process.on(name, end)
  process.stdout.on('error', () => {
    end('SIGPIPE')
  })
  return { signal: controller.signal, exitStatus: () => status }
}
