import { DRIVER_OFFER } from '../../lab/driver/matrix.ts'
import { CATALOGUE, plan } from '../../lab/matrix/plan.ts'
import type { Title } from '../../lab/matrix/lab-record.ts'
import { SCENARIOS } from '../../lab/scenarios/all.ts'
import { commandLine, parse } from '../command-line.ts'

/** lab list: the scenarios, and what the matrix is made of, a line each. */
export function list(args: readonly string[]): number {
  parse(
    commandLine(
      'dummy-fuse-csi lab list',
      'Lists scenarios, failures, mitigations, consumers, the cells, and what a driver of your own is tried with.',
    ),
    args,
  )
  const { cells } = plan({ failures: [], mitigations: [], consumers: [] })
  const rows: string[][] = []
  const section = (title: string, entries: readonly (readonly [string, string])[]): void => {
    rows.push([], [`${title}:`], ...entries.map(([name, text]) => [`  ${name}`, text]))
  }
  const titled = (titles: Readonly<Record<string, Title>>): (readonly [string, string])[] =>
    Object.entries(titles).map(([id, { title }]) => [id, title])
  section(
    'Scenarios',
    SCENARIOS.map(({ name, summary }) => [name, summary]),
  )
  section('Failures', titled(CATALOGUE.failures))
  section('Mitigations', titled(CATALOGUE.mitigations))
  section('Consumers', titled(CATALOGUE.consumers))
  const byFailure = Map.groupBy(cells, ({ failure }) => failure.id)
  section(
    `Cells, ${cells.length} in all`,
    [...byFailure].map(([failure, row]) => [failure, row.map(({ mitigation }) => mitigation.id).join(' ')]),
  )
  const offered = (all: typeof DRIVER_OFFER.failures): (readonly [string, string])[] =>
    all.map(({ id, title, needs }) => [id, needs === undefined ? title : `${title} (where ${needs})`])
  section('Failures of a driver of your own (lab run --driver)', offered(DRIVER_OFFER.failures))
  section('Mitigations of a driver of your own', offered(DRIVER_OFFER.mitigations))
  const width = Math.max(...rows.map(([name = '', text]) => (text === undefined ? 0 : name.length)))
  const lines = rows.map(([name = '', text]) => (text === undefined ? name : `${name.padEnd(width)}  ${text}`))
  process.stdout.write(`${lines.slice(1).join('\n')}\n`)
  return 0
}
