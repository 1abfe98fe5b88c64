import type { Cell, LabRecord, Leftovers, NewPod, Teardown, TeardownCall } from '../matrix/lab-record.ts'
import { allCells, effectOf } from './effects.ts'
import { type Finding, HARM_ORDER, type TeardownHarm } from './harms.ts'
import { count, duration, listed, thousands } from './text.ts'

/** Most things left behind that are named. */
const MOST_LEFT = 3

/** Something that is wrong with the teardown of a cell. */
export interface TeardownProblem {
  readonly harm: TeardownHarm
  /** A sentence, the same for each cell with this problem. */
  readonly what: string
  /** What shows it in this cell. */
  readonly evidence: string
}

const CURES: Readonly<Record<TeardownHarm, string>> = {
  astray: 'NodePublishVolume answers OK only when the volume is mounted at the target path and answers.',
  'new-pod-broken':
    'NodeStageVolume and NodePublishVolume answer OK only when the mount answers. They mount anew where a dead mount is in the way.',
  stuck:
    'NodeUnpublishVolume unmounts what is at the target path, removes that folder, and answers OK where nothing is mounted or the folder is gone.',
  'unstage-fails':
    'NodeUnstageVolume answers OK where nothing is mounted at the staging path any more, and NodePublishVolume gives no pod the bare folder to write to.',
  'left-behind': 'NodeUnpublishVolume and NodeUnstageVolume undo all that NodePublishVolume and NodeStageVolume have made.',
}

/** What is wrong with the teardown of a cell, the worst first; nothing for a cell that has none. */
export function teardownProblems({ teardown }: Cell): readonly TeardownProblem[] {
  if (teardown === undefined) return []
  const { calls, left, newPod } = teardown
  const problems = [...failedCalls([...calls, ...(newPod?.calls ?? [])])]
  const isClean = calls.every(({ succeeded }) => succeeded)
  const things = thingsLeft(left)
  if (isClean && things.length > 0)
    problems.push({
      harm: 'left-behind',
      what: 'When the pods leave, each call is answered OK, and something of the volume is left on the node.',
      evidence: named(things),
    })
  if (newPod !== undefined && !isWell(newPod)) problems.push(newPodProblem(newPod, isClean))
  return problems.sort((a, b) => HARM_ORDER.indexOf(a.harm) - HARM_ORDER.indexOf(b.harm))
}

/** Whether the pods left and the volume left the node, with each call answered OK, and the new pod then read right from its beginning. */
export function allLeavingHelps({ teardown }: Cell): boolean {
  const newPod = teardown?.newPod
  return newPod !== undefined && isWell(newPod) && teardown?.calls.every(({ succeeded }) => succeeded) === true
}

/** A pod that reads right in the end may have written to the node's own disk before. */
function isWell({ saw, wroteToNode }: NewPod): boolean {
  return saw === 'right' && !wroteToNode
}

/** The teardown of a cell in a few words. */
export function teardownWords(cell: Cell): string {
  const problems = teardownProblems(cell)
  if (problems.length > 0) return problems.map(({ what, evidence }) => `${what} (${evidence})`).join(' ')
  return cell.teardown?.newPod === undefined ? 'Each call succeeds, and nothing is left.' : CLEAN
}

const CLEAN = 'Each call succeeds, nothing is left, and a new pod reads right.'

/** Whether the same is wrong with the teardown of the first use, so that the failure of the cell is not to blame. */
export function isWrongAnyway(problem: TeardownProblem, cell: Cell, { firstUse }: Pick<LabRecord, 'firstUse'>): boolean {
  if (firstUse === undefined || cell === firstUse) return false
  return teardownProblems(firstUse).some(({ what }) => what === problem.what)
}

/** The findings about the teardowns of the cells with one mitigation. What is wrong without any failure too is said of that alone. */
export function teardownFindings(record: LabRecord, mitigation: string): readonly Finding[] {
  const cells = allCells(record).filter((cell) => cell.mitigation === mitigation)
  const all = cells.flatMap((cell) => teardownProblems(cell).map((problem) => ({ cell, problem })))
  return [...Map.groupBy(all, ({ problem }) => problem.what).values()].flatMap((those) => {
    const [first] = those
    if (first === undefined) return []
    const { harm, what } = first.problem
    const always = first.cell === record.firstUse
    if (always && isSaidOfConsumers(harm, first.cell)) return []
    const more = those.length - 1
    const also = always && more > 0 ? ` It is the same after ${more} of the ${count(cells.length - 1, 'failure')} tried.` : ''
    const told = always ? [first] : those
    return [
      {
        harm,
        failures: told.map(({ cell }) => cell.failure),
        what: `${always ? `Without any failure: ${what}` : what}${also}`,
        evidence: told.map(({ cell, problem }) => ({ cell, text: problem.evidence })),
        cure: cureOf(
          harm,
          what,
          told.map(({ cell }) => cell.failure),
          record,
          mitigation,
        ),
      },
    ]
  })
}

/** Whether the consumers of a first use say already what its new pod would say again: that data goes astray, or that reads go wrong. */
function isSaidOfConsumers(harm: TeardownHarm, { consumers }: Cell): boolean {
  const effects = consumers.map(effectOf)
  if (harm === 'astray') return effects.includes('wrong')
  return harm === 'new-pod-broken' && effects.some((effect) => effect !== 'kept' && effect !== 'waited')
}

/** A mitigation under which it does not happen after any of these failures, or what the driver has to do. */
function cureOf(
  harm: TeardownHarm,
  what: string,
  failures: readonly string[],
  { cells, catalogue }: LabRecord,
  baseline: string,
): string {
  const others = Object.keys(catalogue.mitigations).filter((id) => id !== baseline)
  const free = others.filter((id) =>
    failures.every((failure) => {
      const cell = cells.find((one) => one.failure === failure && one.mitigation === id)
      return cell?.teardown !== undefined && teardownProblems(cell).every((problem) => problem.what !== what)
    }),
  )
  const names = free.map((id) => catalogue.mitigations[id]?.title ?? id)
  return names.length === 0 ? CURES[harm] : `It does not happen with ${listed(names, 'or')}. ${CURES[harm]}`
}

/** One problem for each of the two calls, as far as it fails. */
function failedCalls(calls: readonly TeardownCall[]): readonly TeardownProblem[] {
  const failed = (rpc: TeardownCall['rpc']): readonly TeardownCall[] => calls.filter((one) => one.rpc === rpc && !one.succeeded)
  const evidence = (those: readonly TeardownCall[]): string => {
    const of = calls.filter(({ rpc }) => rpc === those[0]?.rpc).length
    const number = of === 1 ? '' : `${those.length} of ${count(of, 'call')}; `
    return number + those.slice(0, 1).map(inWords).join()
  }
  const unpublish = failed('NodeUnpublishVolume')
  const unstage = failed('NodeUnstageVolume')
  return [
    ...(unpublish.length === 0
      ? []
      : [
          {
            harm: 'stuck' as const,
            what: 'NodeUnpublishVolume fails in each attempt, so that pods stay in Terminating and cannot be deleted.',
            evidence: evidence(unpublish),
          },
        ]),
    ...(unstage.length === 0
      ? []
      : [
          {
            harm: 'unstage-fails' as const,
            what: 'The pods leave, and then NodeUnstageVolume fails in each attempt, so that the volume stays on the node.',
            evidence: evidence(unstage),
          },
        ]),
  ]
}

/** `4 attempts in 3.6 s: INTERNAL: directory not empty`. */
function inWords({ path, attempts, tookMs, failure }: TeardownCall): string {
  const why = failure === undefined ? 'no answer' : `${failure.code}: ${failure.message}`
  return `${count(attempts, 'attempt')} in ${duration(tookMs)} for ${path}: ${why}`
}

function newPodProblem({ saw, why, watchedMs, wroteToNode }: NewPod, isClean: boolean): TeardownProblem {
  const when = isClean ? 'When all pods have left' : 'When the pods were told to leave'
  const seen = saw === 'not started' ? `it could not be started: ${why ?? ''}` : `its last read: ${saw}`
  const evidence = `${seen}, ${duration(watchedMs)} after it was asked for`
  if (!wroteToNode) return { harm: 'new-pod-broken', what: `${when}, a new pod does not read right.`, evidence }
  const what =
    saw === 'right'
      ? `${when}, a new pod writes to the node's own disk at first, and reads the volume right later.`
      : `${when}, a new pod sees the node's own disk instead of the volume.`
  return { harm: 'astray', what, evidence }
}

/** What is left, in words. */
function thingsLeft({ mounts, folders, holders }: Leftovers): readonly string[] {
  return [
    ...mounts.map((line) => {
      const [own = '', filesystem = ''] = line.split(' - ')
      return `a mount of ${filesystem.split(' ')[0] ?? '?'} at ${own.split(' ')[4] ?? '?'}`
    }),
    ...folders.map(({ path, names }) => `the folder ${path}${names.length === 0 ? '' : ` with ${names.join(', ')}`}`),
    ...holders.map((words) => `${words}, which is mounted nowhere`),
  ]
}

function named(things: readonly string[]): string {
  const more = things.length - MOST_LEFT
  return things.slice(0, MOST_LEFT).join('; ') + (more > 0 ? `; and ${thousands(more)} more` : '')
}

/** Everything that is left, for the page about one cell. */
export function leftInWords({ left }: Teardown): readonly string[] {
  return thingsLeft(left)
}
