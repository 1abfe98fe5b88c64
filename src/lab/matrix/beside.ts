import * as v from 'valibot'
import { UsageError } from '../../errors.ts'
import { parseJson } from '../../schema.ts'
import type { BareNode, Cell, ConsumerResult, Disagreement, OutcomeId } from './lab-record.ts'
import { OUTCOMES } from './outcomes.ts'
import { expectation } from './plan.ts'

const OUTCOME = v.picklist(Object.keys(OUTCOMES) as OutcomeId[])

/** What of a record is put beside a cluster's. */
const RECORD = v.object({
  version: v.literal(6),
  tool: v.object({ version: v.string(), commit: v.string() }),
  driver: v.string(),
  node: v.object({ kernel: v.string(), cluster: v.optional(v.unknown()) }),
  startedAt: v.string(),
  cells: v.array(
    v.object({
      failure: v.string(),
      mitigation: v.string(),
      consumers: v.array(v.object({ consumer: v.string(), seen: OUTCOME })),
    }),
  ),
})

type BesideRecord = v.InferOutput<typeof RECORD>

/**
 * Reads the record of a run on a bare node. `file`: its name, for errors. `version`: of this lab. Throws UsageError for another file, for the record of a cluster
 * or of another driver, and for one of another version.
 */
export function parseBeside(text: string, file: string, version: string): BesideRecord {
  const fail = (why: string): never => {
    throw new UsageError(`--beside ${file}: ${why}; name the file that lab run --json has written on a bare node`)
  }
  let record: BesideRecord
  try {
    record = parseJson(RECORD, text)
  } catch (error) {
    return fail(`it is no record of the lab: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (record.node.cluster !== undefined) return fail('it is the record of a run on a cluster')
  if (record.driver !== 'dummy-fuse-csi') return fail(`it is the record of the driver ${record.driver}`)
  if (record.tool.version !== version) return fail(`it is of version ${record.tool.version}, and this lab of version ${version}`)
  return record
}

/** How the record of a cluster names the record that is beside it. */
export function bareNodeOf({ tool, node, startedAt }: BesideRecord): BareNode {
  return { version: tool.version, commit: tool.commit, kernel: node.kernel, startedAt }
}

/** Cells of a cluster, each consumer's outcome with that of the bare node beside it: the one that was seen there, and what the model says. */
export function withBareNode(cells: readonly Cell[], record: BesideRecord | undefined): readonly Cell[] {
  return cells.map((cell) => {
    const seen = record?.cells.find(({ failure, mitigation }) => failure === cell.failure && mitigation === cell.mitigation)
    return {
      ...cell,
      consumers: cell.consumers.map((result): ConsumerResult => {
        const model = expectation(cell.failure, cell.mitigation, result.consumer)
        const outcome = seen?.consumers.find(({ consumer }) => consumer === result.consumer)?.seen
        const modelled = [model.outcome, ...(model.or ?? [])]
        return { ...result, bareNode: { modelled, ...(outcome === undefined ? {} : { seen: outcome }) } }
      }),
    }
  })
}

/** Where a cluster came to something that the bare node does not come to, row by row. */
export function disagreements(cells: readonly Cell[]): readonly Disagreement[] {
  return cells.flatMap(({ failure, mitigation, consumers }) =>
    consumers.flatMap(({ consumer, seen, bareNode, expected, alsoExpected = [], reason }) => {
      if (bareNode === undefined || bareNode.seen === seen || bareNode.modelled.includes(seen)) return []
      if (seen === 'undecided' || bareNode.seen === 'undecided') return []
      const explained = seen === expected || alsoExpected.includes(seen)
      const other = bareNode.seen ?? bareNode.modelled[0] ?? seen
      return [{ failure, mitigation, consumer, cluster: seen, bareNode: other, ...(explained ? { why: reason } : {}) }]
    }),
  )
}

/** The disagreements of cells as text, for people; empty if no cell has run. */
export function disagreementText(all: readonly Disagreement[], cells: readonly Cell[]): string {
  if (cells.every(({ consumers }) => consumers.length === 0)) return ''
  if (all.length === 0) return '\nThe cluster and the bare node agree for every consumer.\n'
  const lines = all.map(
    ({ failure, mitigation, consumer, cluster, bareNode, why }) =>
      `${failure} under ${mitigation}, ${consumer}: ${OUTCOMES[cluster].title} on the cluster, ${OUTCOMES[bareNode].title} on the bare node${why === undefined ? ' (the lab knows no reason)' : ''}`,
  )
  return `\nWhere the cluster and the bare node disagree:\n${lines.map((line) => `  ${line}\n`).join('')}`
}
