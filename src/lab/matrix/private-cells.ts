import { tmpdir } from 'node:os'
import { messageOf } from '../../errors.ts'
import { needsSystemd } from '../cell/set-up.ts'
import { longestTeardown } from '../cell/teardown.ts'
import type { Command, Programs } from '../command.ts'
import { Redaction } from '../driver/redaction.ts'
import type { DriverSpec } from '../driver/spec.ts'
import { startedUnder } from '../driver/shielded.ts'
import { DriverNode } from '../driver-node.ts'
import type { Message } from '../message.ts'
import { onSystemdNode } from '../namespaces.ts'
import { carryOutOnPrivateNode } from '../private-node-process.ts'
import type { Systemd } from '../systemd.ts'
import type { CellJob } from './job.ts'
import type { Cell } from './lab-record.ts'
import type { PlannedCell } from './plan.ts'
import { notRun } from './run-cells.ts'

/** How many calls of a driver may take all their time in one cell. */
const SLOW_CALLS = 4

/** For how many times its watch a cell may wait for what is undecided (cell/observe.ts). */
const WATCHES = 4

/** By what means a cell is carried out on a private node. */
interface PrivateCellOptions {
  /** The process that is to carry a job out on a private node (inside.ts). */
  readonly inside: Command
  readonly programs: Programs
  readonly env: NodeJS.ProcessEnv
  /** A plugin in the place of ours. */
  readonly driver?: DriverSpec | undefined
  /** For cells that need it; an Error says why it cannot be had. */
  readonly systemd: () => Promise<Systemd | Error>
}

/** Carries a cell out on a private node of its own. */
export async function carryOutPrivately(planned: PlannedCell, options: PrivateCellOptions, signal: AbortSignal): Promise<Cell> {
  const cell = await seen(planned, options, signal)
  return options.driver === undefined ? cell : new Redaction(options.driver).cell(cell)
}

/** What is seen of a cell, the secrets of a driver's file included. */
async function seen(planned: PlannedCell, options: PrivateCellOptions, signal: AbortSignal): Promise<Cell> {
  const { failure, mitigation, consumers } = planned
  const startedAt = new Date().toISOString()
  const start = performance.now()
  const driver = options.driver === undefined ? undefined : startedUnder(mitigation, options.driver)
  const job = {
    kind: 'cell',
    failure: failure.id,
    mitigation: mitigation.id,
    consumers,
    programs: options.programs,
    ...(driver === undefined ? {} : { driver }),
  } as const
  const { cell, reason } =
    driver !== undefined
      ? await onNodeOf(driver, job, options, signal)
      : needsSystemd(failure, mitigation)
        ? await underSystemd(job, options, signal)
        : await onNode(job, options, signal)
  if (cell !== undefined && reason === undefined) return cell
  const tookMs = Math.round(performance.now() - start)
  return notRun(planned, reason ?? 'its process said nothing', startedAt, tookMs)
}

/** What came of a job: its cell, or why there is none. */
interface Carried {
  readonly cell?: Cell | undefined
  readonly reason: string | undefined
  readonly namespace?: string | undefined
}

async function underSystemd(job: CellJob, options: PrivateCellOptions, signal: AbortSignal): Promise<Carried> {
  const systemd = await options.systemd()
  if (systemd instanceof Error) return { reason: systemd.message }
  const slice = systemd.slice()
  const carried = await onNode({ ...job, slice }, options, signal, (inner) => onSystemdNode(inner, systemd.enter, slice))
  await systemd.end(slice, carried.namespace)
  return carried
}

async function onNodeOf(driver: DriverSpec, job: CellJob, options: PrivateCellOptions, signal: AbortSignal): Promise<Carried> {
  const more = SLOW_CALLS * driver.callTimeout + WATCHES * driver.watch + longestTeardown(driver)
  try {
    await using node = await DriverNode.open(driver, tmpdir())
    return await onNode(job, options, signal, (inner) => node.command(inner), more)
  } catch (error) {
    return { reason: messageOf(error) }
  }
}

async function onNode(
  job: CellJob,
  { inside, env }: PrivateCellOptions,
  signal: AbortSignal,
  makeNode?: (inner: Command) => Command,
  more = 0,
): Promise<Carried> {
  let cell: Cell | undefined
  let namespace: string | undefined
  const tell = (message: Message): void => {
    if (message.kind === 'cell') cell = message.cell
    if (message.kind === 'namespace') namespace = message.mnt
  }
  const reason = await carryOutOnPrivateNode(job, inside, env, tell, signal, makeNode, more)
  return { cell, reason, namespace }
}
