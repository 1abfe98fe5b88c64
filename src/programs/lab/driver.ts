import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, ProgramError, UsageError } from '../../errors.ts'
import { askPlugin } from '../../lab/driver/ask.ts'
import { findingsOf, inWords, misnamedFile } from '../../lab/driver/findings.ts'
import { firstFile } from '../../lab/driver/first-file.ts'
import { Redaction } from '../../lab/driver/redaction.ts'
import { type DriverSeen, type HealthSeen, hopeless } from '../../lab/driver/seen.ts'
import type { DriverSpec } from '../../lab/driver/spec.ts'
import { DriverNode } from '../../lab/driver-node.ts'
import { preflight } from '../../lab/preflight.ts'
import { carryOutOnPrivateNode } from '../../lab/private-node-process.ts'
import { inKind } from '../../lab/report/written.ts'
import { oneLine, shortened } from '../../printable.ts'
import { absolute } from '../absolute.ts'
import { commandLine, parse } from '../command-line.ts'
import { print } from '../print.ts'
import type { ProgramContext } from '../program.ts'
import { readDriver } from './options.ts'

const NAME = 'dummy-fuse-csi lab driver'

/** How many of the driver's last lines are shown, and how long a line or an error may be. */
const LINES = 3
const LONGEST = 300

/** How many files are shown that the driver has written outside of its state. */
const FILES = 20

/** How many calls of a trial may take all their time. */
const SLOW_CALLS = 8

/** Milliseconds for one call of `init`. */
const INIT_CALL = 10_000

/** Of a trial that was broken off. */
const NOTHING_SEEN: DriverSeen = {
  ...{ steps: [], plugin: undefined, mounts: [], holders: [], health: undefined, read: undefined },
  ...{ left: [], written: [], writtenMore: 0, log: [] },
}

const CHECK_HELP = `
The driver is started once, on a private node, and a volume is taken through its life: created if the file says so, staged, published, populated,
read, unpublished, unstaged, deleted. Each process that holds /dev/fuse is stopped for a moment, to see which of them answers for the volume.

Exit status: 0 nothing is wrong; 1 something is wrong, and it says with what: the driver, the file or the machine; 2 usage error; 3 the lab cannot
run on this machine; 128 + N ended by signal N.`

/** lab driver check, lab driver init. Resolves to the exit status. */
export async function driverCommand(context: ProgramContext, args: readonly string[]): Promise<number> {
  const [word = '', ...rest] = args
  switch (word) {
    case 'check':
      return await check(context, rest)
    case 'init':
      return await init(rest)
    default:
      if (word.startsWith('-'))
        parse(
          commandLine(NAME, 'Tries a driver and its file (check), or writes a first file (init).').usage(
            'check FILE | init --socket SOCKET',
          ),
          args,
        )
      throw new UsageError(
        `${word === '' ? 'no command given' : `no command '${word}'`}; there are check, init (see ${NAME} check --help)`,
      )
  }
}

/**
 * Takes the driver through the life of a volume, without what stops processes. Returns what was seen; undefined once `signal` is aborted. Throws
 * ProgramError, status 1, that says once what is wrong if no cell can be carried out with it.
 */
export async function requireDriver(
  context: ProgramContext,
  driver: DriverSpec,
  signal: AbortSignal,
): Promise<DriverSeen | undefined> {
  const seen = await trial(context, driver, false, signal)
  const failed = hopeless(seen)
  if (signal.aborted) return undefined
  const misnamed = misnamedFile(driver, seen)
  if (misnamed !== undefined)
    throw new ProgramError(
      `the driver ${driver.name} cannot be tested: ${misnamed.what}. 'dummy-fuse-csi lab driver check' tells more`,
      1,
    )
  if (failed?.failure === undefined) return seen
  const { name, failure } = failed
  const { answer } = failure
  // Drivers log their answers too.
  const others = seen.log.filter((line) => answer === undefined || answer === '' || !line.includes(answer))
  const last = others.slice(-LINES).map((line) => shortened(line, LONGEST))
  const lines = last.length === 0 ? '' : `Its last lines: ${last.join(' | ')}. `
  const said = seen.log.length === 0 ? 'It said nothing' : `${lines}All that it said is in ${keep(seen)}`
  throw new ProgramError(
    `the driver ${driver.name} cannot be tested: ${name}: ${shortened(failure.what, LONGEST)}. ${said}. 'dummy-fuse-csi lab driver check' tells more`,
    1,
  )
}

async function check(context: ProgramContext, args: readonly string[]): Promise<number> {
  const command = commandLine(`${NAME} check`, 'Tries a driver and its file, and says what is wrong.')
    .argument('<file>', "a driver's file (docs/bring-your-driver.md)")
    .option('--json', 'print one JSON object')
    .addHelpText('after', CHECK_HELP)
  parse(command, args)
  const { json = false } = command.opts<{ json?: true }>()
  const driver = readDriver(command.args[0] ?? '')
  preflight()
  const seen = await trial(context, driver, true, new AbortController().signal)
  const findings = findingsOf(driver, seen)
  if (json) {
    const { version } = await import('../../version.ts')
    await print(
      `${JSON.stringify({ tool: { name: 'dummy-fuse-csi', ...version() }, driver: driver.name, findings, seen }, null, 2)}\n`,
    )
  } else {
    await print(describe(seen))
    for (const { about, what } of findings) await print(`wrong      ${about}: ${shortened(what, 3 * LONGEST)}\n`)
    if (findings.length > 0 && seen.log.length > 0) await print(`\nall that the driver said: ${keep(seen)}\n`)
    if (findings.length === 0) await print('nothing is wrong\n')
  }
  return findings.length === 0 ? 0 : 1
}

const HEALTH: Readonly<Record<HealthSeen, string>> = {
  implemented: 'implemented',
  'no capability': 'not implemented',
  unimplemented: 'not implemented, although the driver has the capability GET_VOLUME_HEALTH',
}

/** What was seen, a line each. */
function describe({ steps, plugin, mounts, holders, health, read, refusesWrites, written, writtenMore }: DriverSeen): string {
  const lines = steps.map(({ name, tookMs, attempts, failure }) => {
    const tries = attempts > 1 ? `, ${attempts} attempts` : ''
    return `${(failure === undefined ? 'ok' : 'failed').padEnd(10)} ${name} (${tookMs} ms${tries})`
  })
  if (plugin !== undefined) {
    lines.push(`plugin     ${plugin.name} ${plugin.version}`)
    lines.push(`node       ${plugin.node.join(', ') || 'no capabilities'}`)
    lines.push(
      `controller ${plugin.controller === undefined ? 'no such service' : plugin.controller.join(', ') || 'no capabilities'}`,
    )
  }
  if (health !== undefined) lines.push(`health     NodeGetVolumeHealth: ${HEALTH[health]}`)
  for (const mount of mounts) lines.push(`mounted    ${mount.at}: ${inWords(mount)}`)
  for (const { comm, pid, connection, answers } of holders) {
    const what = answers === undefined ? 'holds it' : answers ? 'answers for the volume' : 'holds it, and answers for nothing'
    lines.push(`/dev/fuse  ${comm}[${pid}], connection ${connection}: ${what}`)
  }
  if (read !== undefined) lines.push(`read       ${read.saw}, ${read.afterMs} ms after NodePublishVolume`)
  if (refusesWrites !== undefined) lines.push(`writes     refused: ${refusesWrites}`)
  const shown = written.slice(0, FILES)
  for (const one of shown) lines.push(`wrote      ${one.path} (${inKind(one)})`)
  const more = written.length - shown.length + writtenMore
  if (more > 0) lines.push(`wrote      ${more} more outside of its state (--json names them, up to 1,000)`)
  return lines.map((line) => `${oneLine(line)}\n`).join('')
}

async function trial(context: ProgramContext, driver: DriverSpec, whole: boolean, signal: AbortSignal): Promise<DriverSeen> {
  const { seen, reason } = await tried(context, driver, whole, signal)
  if (seen !== undefined) return new Redaction(driver).seen(seen)
  if (signal.aborted) return NOTHING_SEEN
  throw new ProgramError(
    new Redaction(driver).text(`the driver ${driver.name} cannot be tried: ${reason ?? 'nothing was seen'}`),
    1,
  )
}

/** What was seen in a trial, or why there is nothing. */
interface Tried {
  readonly seen?: DriverSeen | undefined
  readonly reason: string | undefined
}

async function tried(context: ProgramContext, driver: DriverSpec, whole: boolean, signal: AbortSignal): Promise<Tried> {
  let seen: DriverSeen | undefined
  try {
    await using node = await DriverNode.open(driver, tmpdir())
    const reason = await carryOutOnPrivateNode(
      { kind: 'driver', driver, whole },
      context.self(['lab', 'inside']),
      context.env,
      (message) => {
        if (message.kind === 'driver') seen = message.seen
      },
      signal,
      (inner) => node.command(inner),
      SLOW_CALLS * driver.callTimeout + 2 * driver.watch,
    )
    return { seen, reason }
  } catch (error) {
    return { reason: messageOf(error) }
  }
}

/** Writes what the driver has said to a file of its own. Returns its path. */
function keep({ log }: DriverSeen): string {
  const file = join(mkdtempSync(join(tmpdir(), 'dummy-fuse-lab-driver-')), 'driver.log')
  writeFileSync(file, log.map((line) => `${line}\n`).join(''), { mode: 0o600 })
  return file
}

async function init(args: readonly string[]): Promise<number> {
  const command = commandLine(
    `${NAME} init`,
    'Asks a running plugin, and writes a first file for lab run --driver to standard output.',
  )
    .requiredOption('--socket <path>', "the plugin's socket")
    .addHelpText('after', '\nExit status: 0 the file is written; 1 the plugin cannot be asked; 2 usage error.')
  parse(command, args)
  const socket = absolute(command.opts<{ socket: string }>().socket)
  try {
    await print(firstFile(await askPlugin(socket, INIT_CALL)))
  } catch (error) {
    throw new ProgramError(
      `cannot ask the plugin at ${socket}: ${messageOf(error)}; is that the socket of a CSI plugin that runs?`,
      1,
    )
  }
  return 0
}
