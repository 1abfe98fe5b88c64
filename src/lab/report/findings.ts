import type { Cell, ConsumerResult, LabRecord } from '../matrix/lab-record.ts'
import { TO_THE_END } from '../matrix/outcomes.ts'
import { allCells, type Effect, effectOf, EFFECTS, ran } from './effects.ts'
import { type ConsumerHarm, type Finding, HARM_ORDER, HARMS } from './harms.ts'
import { allLeavingHelps, teardownFindings } from './teardown-findings.ts'
import { count, duration, listed, thousands } from './text.ts'
import { lostSentence, whetherLost, writesWords } from './writes.ts'

/** Most files of the node's disk that are named. */
const MOST_FILES = 2

/** What is to be said of a driver of which there is no model. */
export interface DriverFindings {
  /** The mitigation whose cells are told: the first that ran, which is the driver as it is. */
  readonly baseline: string
  /** What breaks whom, for how long, and whether data goes astray. */
  readonly sentences: readonly [string, string, string]
  /** What is wrong without a failure, and then the worst first. Failures that no consumer noticed are in `unnoticed`. */
  readonly findings: readonly Finding[]
  readonly unnoticed: readonly string[]
  /** Mitigations under which each consumer came to the same as under the baseline. */
  readonly unchanged: readonly string[]
}

/** Undefined for a run that has a model, or of which no cell ran. */
export function driverFindings(record: LabRecord): DriverFindings | undefined {
  const done = record.cells.filter(ran)
  if (allCells(record).filter(ran).length === 0 || done.some(({ verdict }) => verdict !== 'measured')) return undefined
  const baseline =
    Object.keys(record.catalogue.mitigations).find((id) => done.some(({ mitigation }) => mitigation === id)) ??
    record.firstUse?.mitigation
  const first = firstUseFinding(record)
  if (baseline === undefined) return undefined
  const cells = done.filter(({ mitigation }) => mitigation === baseline)
  const harmful = cells.filter((cell) => harmOf(cell) !== 'none')
  const findings = Map.groupBy(harmful, (cell) => keyOf(cell, record))
  return {
    baseline,
    sentences:
      cells.length === 0 && first !== undefined
        ? [
            `No failure was tried with ${record.driver}, because no consumer reads right before one.`,
            first.what,
            whetherAstray([], record) + whetherLost([], record),
          ]
        : [whatBreaks(cells, record), howLong(cells, record), whetherAstray(cells, record) + whetherLost(cells, record)],
    findings: [
      ...(first === undefined ? [] : [first]),
      ...[...[...findings.values()].map((alike) => findingOf(alike, record)), ...teardownFindings(record, baseline)].sort(
        (a, b) => HARM_ORDER.indexOf(a.harm) - HARM_ORDER.indexOf(b.harm),
      ),
    ],
    unnoticed: cells.filter((cell) => harmOf(cell) === 'none').map(({ failure }) => failure),
    unchanged: Object.keys(record.catalogue.mitigations).filter((id) => id !== baseline && changesNothing(id, cells, done)),
  }
}

/**
 * The worst that a failure did to any consumer. Errors are for ever if a consumer that starts after the failure, or again, has them too; what that
 * consumer comes to may be undecided, and so is the harm then.
 */
export function harmOf(cell: Cell): ConsumerHarm {
  const struck = (effect: Effect): readonly ConsumerResult[] => cell.consumers.filter((one) => effectOf(one) === effect)
  if (cell.consumers.some(({ seen }) => seen === 'loses-synced')) return 'lost-synced'
  if (struck('wrong').length > 0 || cell.evidence.disk.length > 0) return 'astray'
  const broken = struck('broken')
  const ofBroken =
    broken.length > 0 && freshIn(cell).every((one) => effectOf(one) !== 'undecided')
      ? restartHelps(cell, broken)
        ? 'until-restart'
        : 'for-ever'
      : undefined
  if (struck('lost').length > 0 && ofBroken !== 'for-ever') return 'lost-unsynced'
  if (ofBroken !== undefined) return ofBroken
  if (struck('undecided').length > 0) return 'undecided'
  if (struck('recovered').length > 0) return 'for-a-time'
  return struck('waited').length > 0 ? 'stalls' : 'none'
}

/** The consumers that began with the volume as it was after the failure, or tried to. */
function freshIn({ consumers }: Cell): readonly ConsumerResult[] {
  const struck = (one: ConsumerResult): boolean => one.restarts > 0 || ['broken', 'wrong'].includes(effectOf(one))
  return consumers.filter((one) => one.consumer === 'starts-after' || (one.consumer === 'exits-on-error' && struck(one)))
}

function restartHelps(cell: Cell, broken: readonly ConsumerResult[]): boolean {
  const fresh = freshIn(cell)
  return fresh.length > 0 && fresh.every((one) => !broken.includes(one) && effectOf(one) !== 'wrong')
}

/** The consumers that have the worst of it. */
function struckIn(cell: Cell): readonly ConsumerResult[] {
  return cell.consumers.filter((one) => effectOf(one) === HARMS[harmOf(cell)].effect)
}

/** Whether two cells make one finding. */
function keyOf(cell: Cell, record: LabRecord): string {
  return [harmOf(cell), whom(cell, record), rest(cell), cureOf(cell, record)].join('\n')
}

function findingOf(cells: readonly Cell[], record: LabRecord): Finding {
  const [first] = cells
  if (first === undefined) throw new Error('a finding without a cell')
  const harm = harmOf(first)
  const struck = struckIn(first).length
  const { effect } = HARMS[harm]
  const one = effect === 'recovered' ? 'gets errors, then works' : EFFECTS[effect].few
  const does = struck === 1 ? one : EFFECTS[effect].many
  const words = struck === 0 ? "Files are on the node's own disk." : `${whom(first, record)} ${does}${rest(first)}.`
  return {
    harm,
    failures: cells.map(({ failure }) => failure),
    what: `${words} ${lasting(cells, harm)}`,
    evidence: cells.map((cell) => ({ cell, text: evidenceOf(cell) })),
    cure: cureOf(first, record),
  }
}

/** What is wrong already when the volume is published for the first time; undefined if nothing is. */
function firstUseFinding(record: LabRecord): Finding | undefined {
  const { firstUse: cell } = record
  if (cell === undefined || ['none', 'stalls'].includes(harmOf(cell))) return undefined
  const harm = harmOf(cell)
  const sawNode = harm === 'astray' || cell.consumers.some(({ seen }) => seen.startsWith('writes-to-host'))
  const { what, evidence } = findingOf([cell], record)
  return {
    harm,
    failures: [cell.failure],
    what: sawNode ? `${hasMounted(cell) ? EARLY : NEVER} ${what}` : `Consumers do badly without any failure. ${what}`,
    evidence,
    cure: isLoss(harm)
      ? LOSS_CURES[harm]
      : sawNode
        ? 'NodePublishVolume answers OK only when the volume is mounted at the target path and answers.'
        : 'NodePublishVolume answers OK only when the volume can be read.',
  }
}

type Loss = 'lost-synced' | 'lost-unsynced'

/** What a driver has to do that lost writes. */
const LOSS_CURES: Readonly<Record<Loss, string>> = {
  'lost-synced': 'The driver answers fsync only when the storage has the data, and with an error if it cannot have it.',
  'lost-unsynced':
    'The driver keeps what it has acknowledged until the storage has it, or answers close and the next write with an error. Consumers that need their data call fsync.',
}

function isLoss(harm: ConsumerHarm): harm is Loss {
  return harm in LOSS_CURES
}

/** The names are those of the reports of it. */
const EARLY =
  'Without any failure, NodePublishVolume answers OK before the volume is mounted (early return, as in blobfuse2 #1079).'
const NEVER = 'Without any failure, NodePublishVolume answers OK and nothing is mounted (as in blobfuse2 #1081).'

/** Whether something was mounted for a pod at the end: the fifth field of mountinfo is the mount point. */
function hasMounted({ evidence }: Cell): boolean {
  return evidence.mountsAfter.some((line) => line.split(' ')[4]?.includes('/pods/') === true)
}

/** `All 10 consumers`, `Memory map`, `2 of 10 consumers (Memory map; Works inside)`. */
function whom(cell: Cell, { catalogue }: LabRecord): string {
  const struck = struckIn(cell)
  const names = struck.map(({ consumer }) => catalogue.consumers[consumer]?.title ?? consumer)
  const all = cell.consumers.length
  if (struck.length === all && all > 1) return `All ${all} consumers`
  return all === 1 ? listed(names) : `${struck.length} of ${all} consumers (${names.join('; ')})`
}

/** Of those that have not the worst of it, how many stay broken. */
function rest(cell: Cell): string {
  const broken = cell.consumers.filter((one) => effectOf(one) === 'broken').length
  const harm = harmOf(cell)
  if ((!isLoss(harm) && harm !== 'astray' && harm !== 'undecided') || broken === 0) return ''
  return `, and ${broken} ${broken === 1 ? 'stays' : 'stay'} broken`
}

function lasting(cells: readonly Cell[], harm: ConsumerHarm): string {
  const watched = `The lab watched each of them for ${duration(watchedMs(cells.flatMap(struckIn)))} or longer.`
  const [first] = cells
  const fresh = first === undefined || first.failure === 'first-use' ? '' : ` ${freshOnes(first)}`
  switch (harm) {
    case 'lost-synced':
    case 'lost-unsynced':
      return lostSentence(cells)
    case 'astray':
      return cells.every(endsWell) ? `It was over after at most ${recovery(cells)}.` : `It lasted to the end. ${watched}${fresh}`
    case 'for-ever':
    case 'until-restart':
      return `${watched}${fresh}`
    case 'undecided':
      return `${watched} That was too short to say what comes of them; a longer watch in the file of the driver tells.`
    case 'for-a-time':
      return `Reads were right again after at most ${recovery(cells)}.`
    case 'stalls':
    case 'none':
      return `The longest that a read took was ${stall(cells)}.`
  }
}

/** How consumers fare that begin with the volume as it is after the failure. */
function freshOnes(cell: Cell): string {
  const fresh = freshIn(cell)
  if (fresh.length === 0) return 'No consumer that starts after it was tried.'
  const broken = fresh.filter((one) => ['broken', 'wrong'].includes(effectOf(one))).length
  if (fresh.some((one) => effectOf(one) === 'undecided'))
    return 'What comes of consumers that start after it, or again, is undecided.'
  if (broken === 0) return 'Consumers that start after it, or again, read right.'
  return broken === fresh.length
    ? 'Consumers that start after it, or again, do no better.'
    : 'Some that start after it, or again, do no better.'
}

function isToTheEnd({ seen }: ConsumerResult): boolean {
  return TO_THE_END.includes(seen)
}

function endsWell({ consumers }: Cell): boolean {
  return consumers.every((one) => !isToTheEnd(one) && one.seen !== 'undecided')
}

/** For how long each of them was watched at least, in milliseconds. */
function watchedMs(consumers: readonly ConsumerResult[]): number {
  return consumers.length === 0 ? 0 : Math.min(...consumers.map((one) => one.watchedMs))
}

function recovery(cells: readonly Cell[]): string {
  return duration(Math.max(0, ...cells.flatMap(struckIn).map(({ firstRightAfterFailureMs }) => firstRightAfterFailureMs ?? 0)))
}

function stall(cells: readonly Cell[]): string {
  return duration(Math.max(0, ...cells.flatMap(({ consumers }) => consumers).map(({ longestStallMs }) => longestStallMs)))
}

function evidenceOf(cell: Cell): string {
  const struck = struckIn(cell)
  const errors = new Map<string, number>()
  for (const { reads } of struck)
    for (const [name, number] of [...Object.entries(reads.failed), ['wrong bytes', reads.wrong] as const])
      if (number > 0) errors.set(name, (errors.get(name) ?? 0) + number)
  const again = struck.filter(({ restarts }) => restarts > 0).length
  const neverStarted = struck.filter(({ seen }) => seen === 'never-starts').length
  const inDeleted = cell.consumers.filter(({ deletedFolder }) => deletedFolder !== undefined).length
  const { disk } = cell.evidence
  const more = disk.length > MOST_FILES ? ` and ${count(disk.length - MOST_FILES, 'more file')}` : ''
  const written = cell.consumers.flatMap(writesWords)
  const parts = [
    ...written,
    ...(disk.length > 0 ? [`on the node's disk: ${disk.slice(0, MOST_FILES).join(', ')}${more}`] : []),
    ...(inDeleted > 0
      ? [
          `${count(inDeleted, 'consumer')} ${inDeleted === 1 ? 'has' : 'have'} a deleted folder in place of the volume: what is written there is lost`,
        ]
      : []),
    ...(errors.size > 0
      ? [`reads that failed: ${[...errors].map(([name, number]) => `${thousands(number)} ${name}`).join(', ')}`]
      : []),
    ...(again > 0 ? [`${count(again, 'consumer')} ${again === 1 ? 'was' : 'were'} started again`] : []),
    ...(neverStarted > 0 ? [`${count(neverStarted, 'consumer')} could not be started`] : []),
  ]
  return parts.length > 0 ? parts.join('; ') : `the longest read took ${stall([cell])}`
}

/** What makes the least of it: a mitigation, or that all pods leave. */
function cureOf(cell: Cell, record: LabRecord): string {
  const harm = harmOf(cell)
  return [
    bestMitigation(cell, record),
    ...(needsAllToLeave(cell) ? [ALL_LEAVE] : []),
    ...(isLoss(harm) ? [LOSS_CURES[harm]] : []),
  ].join(' ')
}

const ALL_LEAVE = 'Every pod of the node has to leave; the next one reads right.'

/** Whether new pods had it too, and one that came when all others had left did not. */
function needsAllToLeave(cell: Cell): boolean {
  const harm = harmOf(cell)
  const isNew =
    harm === 'for-ever' || (harm === 'astray' && freshIn(cell).some((one) => ['broken', 'wrong'].includes(effectOf(one))))
  return isNew && allLeavingHelps(cell)
}

/** Which mitigation makes the least of it: the least harm, and where that is the same the fewest consumers. */
function bestMitigation(cell: Cell, record: LabRecord): string {
  const others = record.cells.filter((one) => ran(one) && one.failure === cell.failure && one.mitigation !== cell.mitigation)
  if (others.length === 0) return 'No mitigation was tried.'
  const decided = others.filter((one) => harmOf(one) !== 'undecided')
  if (decided.length === 0) return 'What the mitigations tried make of it is undecided.'
  const score = (one: Cell): number =>
    (HARM_ORDER.length - HARM_ORDER.indexOf(harmOf(one))) * 1000 + struckIn(one).length * (harmOf(one) === 'none' ? 0 : 1)
  const best = decided.toSorted((a, b) => score(a) - score(b))[0]
  const title = (one: Cell): string => record.catalogue.mitigations[one.mitigation]?.title ?? one.mitigation
  if (best === undefined || score(best) >= score(cell))
    return `None of the mitigations tried makes it less: ${decided.map(title).join(', ')}.`
  const harm = harmOf(best)
  if (harm === 'none') return `With ${title(best)} no consumer has an error.`
  const struck = struckIn(best).length
  return `With ${title(best)} it is less: ${HARMS[harm].title.toLowerCase()}, ${struck} of ${count(best.consumers.length, 'consumer')}.`
}

function whatBreaks(cells: readonly Cell[], { driver, catalogue }: LabRecord): string {
  const bad = cells.filter((cell) => isLoss(harmOf(cell)) || ['astray', 'for-ever', 'until-restart'].includes(harmOf(cell)))
  const tried = count(cells.length, 'failure')
  if (bad.length === 0) return `No consumer of ${driver} broke for good in the ${tried} tried.`
  const byNumber = Map.groupBy(bad, (cell) => {
    const hurt = cell.consumers.filter((one) => ['broken', 'wrong', 'lost'].includes(effectOf(one))).length
    return hurt === cell.consumers.length ? `all ${hurt} consumers` : `${hurt} of ${cell.consumers.length} consumers`
  })
  const parts = [...byNumber].map(
    ([whom, those]) => `${listed(those.map(({ failure }) => catalogue.failures[failure]?.title ?? failure))} (${whom})`,
  )
  return `${bad.length} of the ${tried} tried ${bad.length === 1 ? 'breaks' : 'break'} consumers of ${driver}: ${parts.join('; ')}.`
}

function howLong(cells: readonly Cell[], { catalogue }: LabRecord): string {
  const names = (those: readonly Cell[]): string =>
    listed(those.map(({ failure }) => catalogue.failures[failure]?.title ?? failure))
  const undecided = cells.filter((cell) => harmOf(cell) === 'undecided' || (!endsWell(cell) && !cell.consumers.some(isToTheEnd)))
  const open = cells.filter((cell) => !endsWell(cell) && !undecided.includes(cell))
  const untilRestart = open.filter((cell) => restartHelps(cell, cell.consumers.filter(isToTheEnd)))
  const toTheEnd = open.filter((cell) => !untilRestart.includes(cell))
  const losing = cells.filter((cell) => isLoss(harmOf(cell)))
  const passing = cells.filter((cell) => endsWell(cell) && !['stalls', 'none'].includes(harmOf(cell)) && !losing.includes(cell))
  const stalls = cells.filter((cell) => harmOf(cell) === 'stalls')
  const parts = [
    ...(losing.length > 0 ? [`for ever for the writes that were lost, with ${names(losing)}`] : []),
    ...(toTheEnd.length > 0
      ? [
          `for ever, as far as the lab watched (${duration(watchedMs(toTheEnd.flatMap(({ consumers }) => consumers.filter(isToTheEnd))))} or longer), with ${names(toTheEnd)}`,
        ]
      : []),
    ...(untilRestart.length > 0 ? [`until the consumer is restarted, with ${names(untilRestart)}`] : []),
    ...(undecided.length > 0
      ? [
          `for a time that is undecided, because the lab watched too shortly (${duration(watchedMs(undecided.flatMap(({ consumers }) => consumers.filter(({ seen }) => seen === 'undecided'))))} or longer), with ${names(undecided)}`,
        ]
      : []),
    ...(passing.length > 0 ? [`at most ${recovery(passing)}, with ${names(passing)}`] : []),
  ]
  const waits = stalls.length > 0 ? `reads wait for up to ${stall(stalls)} with ${names(stalls)}` : undefined
  if (parts.length > 0) return `That lasts ${[...parts, ...(waits === undefined ? [] : [waits])].join('; ')}.`
  return waits === undefined ? 'No read failed, and none took a second or longer.' : `No read failed; ${waits}.`
}

function whetherAstray(cells: readonly Cell[], { catalogue, ...record }: LabRecord): string {
  const astray = allCells({ ...record, cells }).filter((cell) => harmOf(cell) === 'astray')
  const late = allCells({ ...record, cells }).filter(({ teardown }) => teardown?.newPod?.wroteToNode === true)
  if (astray.length === 0 && late.length > 0)
    return `Data goes astray after ${listed(late.map(({ failure }) => catalogue.failures[failure]?.title ?? failure))}: when all pods had left, a new pod could write to the node's own disk instead of the volume.`
  if (astray.length === 0) return "No data went astray: no consumer could write to the node's own disk."
  const names = listed(astray.map(({ failure }) => catalogue.failures[failure]?.title ?? failure))
  const wrote = astray.flatMap(({ consumers }) => consumers).filter(({ wroteToNode }) => wroteToNode).length
  const files = astray.reduce((sum, { evidence }) => sum + evidence.disk.length, 0)
  const lost = astray.flatMap(({ consumers }) => consumers).filter(({ deletedFolder }) => deletedFolder !== undefined).length
  const left =
    files === 0
      ? 'nothing of it was left there at the end'
      : `${count(files, 'file')} ${files === 1 ? 'was' : 'were'} there at the end`
  return `Data goes astray with ${names}: ${count(wrote, 'consumer')} could write to the node's own disk instead of the volume, and ${left}.${lost === 0 ? '' : ` ${count(lost, 'consumer')} ${lost === 1 ? 'has' : 'have'} a folder that was deleted: what is written there is lost.`}`
}

/** Whether each consumer came to the same effect as under the baseline, in each cell of this mitigation that ran. */
function changesNothing(mitigation: string, baseline: readonly Cell[], done: readonly Cell[]): boolean {
  const cells = done.filter((cell) => cell.mitigation === mitigation)
  return (
    cells.length > 0 &&
    cells.every((cell) => {
      const other = baseline.find(({ failure }) => failure === cell.failure)
      return (
        other !== undefined &&
        cell.consumers.every((one) => {
          const before = other.consumers.find(({ consumer }) => consumer === one.consumer)
          return before !== undefined && effectOf(one) !== 'undecided' && effectOf(before) === effectOf(one)
        })
      )
    })
  )
}

/** Which columns are left out of the matrix, in a sentence: undefined if there are none. */
export function unchangedWords({ unchanged, baseline }: DriverFindings, { catalogue }: LabRecord): string | undefined {
  if (unchanged.length === 0) return undefined
  const title = (id: string): string => catalogue.mitigations[id]?.title ?? id
  return `${listed(unchanged.map(title))} changed nothing: each consumer came to the same as with ${title(baseline)}.`
}

/** The failures that no consumer noticed, in a sentence: undefined if there are none. */
export function unnoticedWords({ unnoticed }: DriverFindings, { catalogue }: LabRecord): string | undefined {
  if (unnoticed.length === 0) return undefined
  return `No consumer noticed ${listed(unnoticed.map((id) => catalogue.failures[id]?.title ?? id))}.`
}
