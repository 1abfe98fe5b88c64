import { accessSync, constants, writeFileSync } from 'node:fs'
import { constants as osConstants, tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { dirname, resolve } from 'node:path'
import { messageOf, ProgramError, UsageError } from '../errors.ts'
import { carryOut, isPrivateNode, type Job } from '../lab/inside.ts'
import { KeptFolder } from '../lab/kept-folder.ts'
import { Lab } from '../lab/lab.ts'
import { preflight } from '../lab/preflight.ts'
import { Printer } from '../lab/printer.ts'
import type { ScenarioRecord } from '../lab/record.ts'
import type { Scenario } from '../lab/scenario.ts'
import { SCENARIOS } from '../lab/scenarios/all.ts'
import { versionText } from '../version.ts'
import { commandLine, parse } from './command-line.ts'
import type { Program, ProgramContext } from './program.ts'

const NAME = 'dummy-fuse-csi lab'
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

interface RunOptions {
  json?: string
  keep?: true
}

/** dummy-fuse-csi lab: runs the scenarios. */
export const lab: Program = async (context) => {
  const [word = '', ...words] = context.words
  switch (word) {
    case 'list':
      parse(commandLine(`${NAME} list`, 'Lists the scenarios.'), words)
      return list()
    case 'run':
      return await run(context, words)
    case 'inside':
      return await inside()
    default:
      if (word.startsWith('-')) parse(overview(), context.words)
      throw new UsageError(`${word === '' ? 'no command given' : `no command '${word}'`}; there are list, run (see ${NAME} --help)`)
  }
}

function overview(): ReturnType<typeof commandLine> {
  return commandLine(NAME, 'Makes the failures of FUSE mounts under CSI happen, each on a private node.')
    .usage('list | run [SCENARIO...]')
    .addHelpText('after', `\nCommands:\n  list  the scenarios, a line each\n  run   runs them (see ${NAME} run --help)`)
}

function list(): number {
  const width = Math.max(...SCENARIOS.map(({ name }) => name.length))
  for (const { name, summary } of SCENARIOS) process.stdout.write(`${name.padEnd(width)}  ${summary}\n`)
  return 0
}

async function run(context: ProgramContext, words: readonly string[]): Promise<number> {
  const command = commandLine(
    `${NAME} run`,
    'Runs scenarios, all of them if none is named, and compares what it sees with the model.',
  )
    .argument('[scenario...]', 'their names (see lab list)')
    .option('--json <file>', 'write what was seen to this file (docs/lab.md has its shape)')
    .option('--keep', 'leave a folder with the transcripts and the logs')
    .addHelpText(
      'after',
      '\nExit status: 0 every scenario came out as the model says; 1 one did not; 2 wrong words; 3 the lab cannot run on this machine; 128 + N ended by signal N.',
    )
  parse(command, words)
  const options = command.opts<RunOptions>()
  const scenarios = chosen(command.args)
  preflight()
  const json = options.json === undefined ? undefined : writable(resolve(options.json))

  const folder = options.keep === undefined ? undefined : new KeptFolder(tmpdir())
  const printer = new Printer((text) => process.stdout.write(text), colours(context.env))
  const { signal, told } = untilTold()
  const labRun = new Lab({
    inside: context.self(['lab', 'inside']),
    programs: {
      plugin: context.other('dummy-fuse-csi', ['serve']),
      workload: context.other('dummy-fuse-workload', []),
      consumer: context.other('dummy-fuse-csi', ['lab-consumer']),
    },
    env: context.env,
    program: versionText(),
  })
  const observer = {
    begin: (scenario: Scenario): void => {
      printer.begin(scenario)
    },
    step: printer.step.bind(printer),
    end: (record: ScenarioRecord): void => {
      printer.end(record)
      folder?.add(record)
    },
  }
  const report = await labRun.run(scenarios, observer, signal)
  printer.summary(report)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, undefined, 2)}\n`)
  if (folder !== undefined) process.stdout.write(`\nkept in ${folder.path}\n`)
  return told() ?? (report.passed ? 0 : 1)
}

function chosen(names: readonly string[]): readonly Scenario[] {
  const unknown = names.find((name) => !SCENARIOS.some((scenario) => scenario.name === name))
  if (unknown !== undefined) {
    throw new UsageError(`no scenario '${unknown}'; there are ${SCENARIOS.map(({ name }) => name).join(', ')} (see ${NAME} list)`)
  }
  return names.length === 0 ? SCENARIOS : SCENARIOS.filter(({ name }) => names.includes(name))
}

/** Better now than after the run. */
function writable(file: string): string {
  try {
    accessSync(dirname(file), constants.W_OK)
  } catch (error) {
    throw new ProgramError(`cannot write ${file}: ${messageOf(error)}`, 1)
  }
  return file
}

/** https://no-color.org: any value but an empty one turns them off. */
function colours(env: NodeJS.ProcessEnv): boolean {
  return process.stdout.isTTY && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

/** Ends the run at the first ending signal, and when nobody reads our output any more; `told` gives the exit status then. */
function untilTold(): { signal: AbortSignal; told: () => number | undefined } {
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
  return { signal: controller.signal, told: () => status }
}

/** The lab's own process on a private node: takes its job from standard input and lives no longer than that is open. */
async function inside(): Promise<number> {
  if (!isPrivateNode()) throw new UsageError(`${NAME} inside is for the lab itself, on a node that it has made`)
  const input = createInterface(process.stdin)
  const abandoned = new Promise<number>((resolve) => {
    process.stdout.on('error', () => resolve(1))
    input.on('close', () => resolve(1))
  })
  const carriedOut = new Promise<Job>((taken) => {
    input.once('line', (line) => taken(JSON.parse(line) as Job))
  }).then(async (job) => {
    await carryOut(job, (message) => process.stdout.write(`${JSON.stringify(message)}\n`))
    return 0
  })
  return await Promise.race([abandoned, carriedOut])
}
