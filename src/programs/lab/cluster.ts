import { isProgramError, ProgramError } from '../../errors.ts'
import { bareNodeOf, disagreements, disagreementText, parseBeside, withBareNode } from '../../lab/matrix/beside.ts'
import { clusterCatalogue, planCluster } from '../../lab/matrix/cluster-plan.ts'
import type { Absent, Cell, LabRecord } from '../../lab/matrix/lab-record.ts'
import { CATALOGUE, type PlannedCell } from '../../lab/matrix/plan.ts'
import type { CellOptions } from '../../lab/matrix/run-cells.ts'
import { oneLine, printable } from '../../printable.ts'
import { version } from '../../version.ts'
import { reasonsOf } from './absent.ts'
import type { ClusterChoice, RunOptions } from './options.ts'

/** What a run on a cluster brings to its record. */
interface ClusterRun {
  readonly part: Pick<LabRecord, 'node' | 'catalogue' | 'bareNode' | 'disagreements'> & {
    readonly cells: readonly Cell[]
    readonly absent: readonly Absent[]
  }
  readonly planned: number
  /** What could not be removed from the cluster, and what to do; undefined if nothing is left. */
  readonly problem: ProgramError | undefined
}

/**
 * Runs the chosen cells on a cluster. `runCells`: runs cells by what carries one out. Throws UsageError for a record that cannot be beside, and ProgramError for a
 * cluster that the lab cannot run on; undefined if `signal` ended the run before its first cell.
 */
export async function runOnCluster(
  { cells: choice }: RunOptions,
  cluster: ClusterChoice,
  runCells: (cells: readonly PlannedCell[], carryOut: CellOptions['carryOut']) => Promise<readonly Cell[]>,
  signal: AbortSignal,
): Promise<ClusterRun | undefined> {
  const { version: own } = version()
  const { beside } = cluster
  const record = beside === undefined ? undefined : parseBeside(beside.text, beside.file, own)
  const { cells, absent } = choice === undefined ? { cells: [], absent: [] } : planCluster(choice)
  if (cells.length === 0) {
    throw new ProgramError(`nothing of what was chosen can be run on a cluster: ${reasonsOf(absent).join(' ')}`, 2)
  }
  const openClusterLab = await (await import('../lab-cluster.ts')).loadLabCluster()
  const image = cluster.image ?? `localhost/dummy-fuse-csi:${own}`
  const say = (line: string): void => {
    process.stdout.write(`${oneLine(line)}\n`)
  }
  let problem: ProgramError | undefined
  let part: ClusterRun['part'] | undefined
  try {
    await using lab = await openClusterLab({ ...cluster, image }, signal, say)
    const seen = withBareNode(await runCells(cells, (cell, signal) => lab.carryOut(cell, signal)), record)
    const differing = disagreements(seen)
    process.stdout.write(printable(disagreementText(differing, seen)))
    part = {
      ...{ cells: seen, absent, catalogue: clusterCatalogue(CATALOGUE) },
      node: { kernel: lab.about.kernel, systemd: 'none', cpus: lab.about.cpus, cluster: lab.about.cluster },
      ...(record === undefined ? {} : { bareNode: bareNodeOf(record) }),
      disagreements: differing,
    }
  } catch (error) {
    if (part === undefined) {
      if (signal.aborted && !isProgramError(error)) return undefined
      throw error
    }
    if (!isProgramError(error)) throw error
    problem = error
  }
  return { part, planned: cells.length, problem }
}
