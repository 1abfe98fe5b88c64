import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

const FILE = join(import.meta.dirname, '../official/specs.yaml')

/** Regular expressions of the names of specs that the driver definition cannot declare away. docs/kubernetes.md has the reason of each. */
export const LEFT_OUT: readonly string[] = [
  '\\[Disruptive\\]',
  'should provision storage with any volume data source',
  'retain data across pod recreation',
  'existing directories when readOnly specified in the volumeSource',
]

/** A spec in a report of ginkgo (--ginkgo.json-report), as far as it is looked at. */
export interface SpecReport {
  readonly ContainerHierarchyTexts: readonly string[] | null
  readonly LeafNodeType: string
  readonly LeafNodeText: string
  readonly State: string
  readonly Failure?: { readonly Message: string }
}

/** Characters of a message that are shown: some have a whole pod in them. */
const LONGEST = 500

/** The specs by what became of them, each list sorted by name. */
export interface Fates {
  readonly passed: readonly string[]
  readonly skipped: readonly string[]
  readonly failed: readonly { readonly name: string; readonly message: string }[]
}

/**
 * What became of each spec of the suite; the report has the other specs of the program too. Everything but passed and skipped has failed: also panicked,
 * timed out and interrupted.
 */
export function fates(reports: readonly SpecReport[]): Fates {
  const specs = reports.filter(
    ({ LeafNodeType, ContainerHierarchyTexts }) =>
      LeafNodeType === 'It' && ContainerHierarchyTexts?.[0]?.includes('External Storage'),
  )
  const others = reports.filter(({ LeafNodeType, State }) => LeafNodeType !== 'It' && State !== 'passed' && State !== 'skipped')
  const inState = (state: string): readonly string[] =>
    specs
      .filter(({ State }) => State === state)
      .map(nameOf)
      .sort()
  const failed = specs.filter(({ State }) => State !== 'passed' && State !== 'skipped')
  return {
    passed: inState('passed'),
    skipped: inState('skipped'),
    failed: [...failed, ...others].map((report) => ({
      name: nameOf(report),
      message: (report.Failure?.Message ?? report.State).slice(0, LONGEST),
    })),
  }
}

/** The name of a spec without that of the suite and of the driver. */
function nameOf({ ContainerHierarchyTexts, LeafNodeText }: SpecReport): string {
  return [...(ContainerHierarchyTexts ?? []).slice(1), LeafNodeText].join(' ').replace(/^\[Driver: [^\]]*\] */, '')
}

/** The specs that pass, and those that are skipped by the reason, as official/specs.yaml has them. */
export interface OfficialSpecs {
  readonly passed: readonly string[]
  readonly skipped: ReadonlyMap<string, readonly string[]>
}

/** What is expected of the suite. */
export function officialSpecs(): OfficialSpecs {
  const { passed, skipped } = parse(readFileSync(FILE, 'utf8')) as {
    readonly passed: readonly string[]
    readonly skipped: Readonly<Record<string, readonly string[]>>
  }
  return { passed: [...passed].sort(), skipped: new Map(Object.entries(skipped)) }
}
