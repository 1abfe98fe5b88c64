import type { Command, Programs } from '../command.ts'
import { carryOutOnPrivateNode } from '../private-node-process.ts'
import { Redaction } from '../driver/redaction.ts'
import type { DriverSpec } from '../driver/spec.ts'
import type { Message } from '../message.ts'
import { onSystemdNode } from '../namespaces.ts'
import { SeededRandom } from '../seeded-random.ts'
import type { Systemd } from '../systemd.ts'
import type { CellJob } from './job.ts'
import { needsSystemd } from '../cell/set-up.ts'
import type { PlannedCell } from './plan.ts'
import type { Cell } from './lab-record.ts'

/** By what means cells are carried out. */
export interface CellOptions {
  /** The process that is to carry a job out on a private node (inside.ts). */
  readonly inside: Command
  readonly programs: Programs
  readonly env: NodeJS.ProcessEnv
  /** A plugin in the place of ours. */
  readonly driver?: DriverSpec | undefined
  /** For cells that need it; an Error says why it cannot be had. */
  readonly systemd: () => Promise<Systemd | Error>
  /** How many at once. */
  readonly jobs: number
  /** Of the order in which they run. */
  readonly seed: number
}

/** Follows the cells as they run. */
export interface CellObserver {
  begin(cell: PlannedCell): void
  end(cell: Cell): void
}

/** Carries cells out, several at once, each on a private node of its own. The result is in the order of `cells`, without those that `signal` kept from beginning. */
export async function runCells(
  cells: readonly PlannedCell[],
  options: CellOptions,
  observer: CellObserver,
  signal: AbortSignal,
): Promise<readonly Cell[]> {
  const done = new Map<PlannedCell, Cell>()
  const queue = shuffled(cells, options.seed).values()
  const worker = async (): Promise<void> => {
    for (const planned of queue) {
      if (signal.aborted) return
      observer.begin(planned)
      const cell = await carryOut(planned, options, signal)
      done.set(planned, cell)
      observer.end(cell)
    }
  }
  await Promise.all(Array.from({ length: options.jobs }, worker))
  return cells.flatMap((planned) => done.get(planned) ?? [])
}

async function carryOut(planned: PlannedCell, options: CellOptions, signal: AbortSignal): Promise<Cell> {
  const cell = await seen(planned, options, signal)
  return options.driver === undefined ? cell : new Redaction(options.driver.volume).cell(cell)
}

/** What is seen of a cell, the secrets of a driver's file included. */
async function seen(planned: PlannedCell, options: CellOptions, signal: AbortSignal): Promise<Cell> {
  const { failure, mitigation, consumers } = planned
  const startedAt = new Date().toISOString()
  const start = performance.now()
  const job = {
    kind: 'cell',
    failure: failure.id,
    mitigation: mitigation.id,
    consumers,
    programs: options.programs,
    ...(options.driver === undefined ? {} : { driver: options.driver }),
  } as const
  const { cell, reason } = needsSystemd(failure, mitigation)
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

async function underSystemd(job: CellJob, options: CellOptions, signal: AbortSignal): Promise<Carried> {
  const systemd = await options.systemd()
  if (systemd instanceof Error) return { reason: systemd.message }
  const slice = systemd.slice()
  const carried = await onNode({ ...job, slice }, options, signal, (inner) => onSystemdNode(inner, systemd.enter, slice))
  await systemd.end(slice, carried.namespace)
  return carried
}

async function onNode(
  job: CellJob,
  { inside, env }: CellOptions,
  signal: AbortSignal,
  makeNode?: (inner: Command) => Command,
): Promise<Carried> {
  let cell: Cell | undefined
  let namespace: string | undefined
  const tell = (message: Message): void => {
    if (message.kind === 'cell') cell = message.cell
    if (message.kind === 'namespace') namespace = message.mnt
  }
  const reason = await carryOutOnPrivateNode(job, inside, env, tell, signal, makeNode)
  return { cell, reason, namespace }
}

/** A cell of which nothing is known. */
export function notRun({ failure, mitigation }: PlannedCell, why: string, startedAt: string, tookMs: number): Cell {
  const nothing = { mountsBefore: [], mountsAfter: [], holdersBefore: [], holdersAfter: [], disk: [] }
  return {
    failure: failure.id,
    mitigation: mitigation.id,
    verdict: 'not-run',
    why,
    startedAt,
    tookMs,
    failureAtMs: 0,
    mendedAtMs: null,
    consumers: [],
    events: [],
    lanes: [],
    evidence: { logs: [], ...nothing },
  }
}

/** Fisher and Yates' shuffle, in which a seed determines the order. */
function shuffled<T>(all: readonly T[], seed: number): readonly T[] {
  const mixed = [...all]
  const random = new SeededRandom(seed)
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random.between(0, last)
    ;[mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T]
  }
  return mixed
}
