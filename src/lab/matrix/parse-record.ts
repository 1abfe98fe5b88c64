import * as v from 'valibot'
import { UsageError } from '../../errors.ts'
import { parseJson } from '../../schema.ts'
import { ACKNOWLEDGEMENTS } from '../consumer/acknowledgements.ts'
import type { LabRecord, OutcomeId } from './lab-record.ts'
import { OUTCOMES } from './outcomes.ts'

const VERSION = 6

const OUTCOME = v.picklist(Object.keys(OUTCOMES) as OutcomeId[])
const TITLE = v.object({ title: v.string(), words: v.string() })
const TITLES = v.record(v.string(), TITLE)
const LINES = v.array(v.string())
const WHICH = { failure: v.string(), mitigation: v.string() }
const CHECK = v.object({ name: v.string(), expected: v.string(), seen: v.string(), passed: v.boolean() })

const WRITES = v.object({
  ways: v.array(
    v.object({
      by: v.picklist(ACKNOWLEDGEMENTS),
      acknowledged: v.number(),
      lost: v.number(),
      lostBefore: v.number(),
      notInStorage: v.exactOptional(v.number()),
      refused: v.record(v.string(), v.number()),
      longestMs: v.number(),
    }),
  ),
  notReadBack: v.exactOptional(v.string()),
})

const CONSUMER = v.object({
  consumer: v.string(),
  expected: OUTCOME,
  alsoExpected: v.exactOptional(v.array(OUTCOME)),
  seen: OUTCOME,
  bareNode: v.exactOptional(v.object({ modelled: v.array(OUTCOME), seen: v.exactOptional(OUTCOME) })),
  reason: v.string(),
  source: v.string(),
  reads: v.object({ right: v.number(), wrong: v.number(), failed: v.record(v.string(), v.number()) }),
  failedBefore: v.number(),
  longestStallMs: v.number(),
  longestStallAtMs: v.nullable(v.number()),
  firstRightAfterFailureMs: v.nullable(v.number()),
  descriptorLived: v.nullable(v.boolean()),
  restarts: v.number(),
  wroteToNode: v.boolean(),
  watchedMs: v.number(),
  mountTable: LINES,
  deletedFolder: v.exactOptional(v.string()),
  writes: v.exactOptional(WRITES),
})

const EVENT = v.object({
  atMs: v.number(),
  lane: v.string(),
  kind: v.picklist(['start', 'end', 'failure', 'mended', 'restart', 'right', 'wrong', 'error', 'stall', 'log']),
  text: v.string(),
  until: v.exactOptional(v.number()),
  count: v.exactOptional(v.number()),
})

const WRITTEN = v.object({
  path: v.string(),
  kind: v.picklist(['file', 'folder', 'link', 'socket', 'pipe', 'device', 'deleted']),
  size: v.exactOptional(v.number()),
})

const CALLS = v.array(
  v.object({
    rpc: v.picklist(['NodeUnpublishVolume', 'NodeUnstageVolume']),
    path: v.string(),
    succeeded: v.boolean(),
    attempts: v.number(),
    tookMs: v.number(),
    failure: v.exactOptional(v.object({ code: v.string(), message: v.string() })),
  }),
)

const TEARDOWN = v.object({
  tookMs: v.number(),
  calls: CALLS,
  left: v.object({ mounts: LINES, folders: v.array(v.object({ path: v.string(), names: LINES })), holders: LINES }),
  newPod: v.exactOptional(
    v.object({
      saw: v.string(),
      why: v.exactOptional(v.string()),
      watchedMs: v.number(),
      wroteToNode: v.boolean(),
      calls: CALLS,
    }),
  ),
})

const CELL = v.object({
  ...WHICH,
  verdict: v.picklist(['as-modelled', 'better', 'worse', 'different', 'measured', 'not-run']),
  why: v.exactOptional(v.string()),
  startedAt: v.string(),
  tookMs: v.number(),
  failureAtMs: v.number(),
  mendedAtMs: v.nullable(v.number()),
  consumers: v.array(CONSUMER),
  unready: v.exactOptional(v.array(v.string())),
  events: v.array(EVENT),
  lanes: v.array(
    v.object({
      id: v.string(),
      kind: v.picklist(['process', 'consumer']),
      title: v.string(),
      pid: v.exactOptional(v.number()),
    }),
  ),
  evidence: v.object({
    logs: v.array(v.object({ lane: v.string(), atMs: v.number(), text: v.string() })),
    mountsBefore: LINES,
    mountsAfter: LINES,
    holdersBefore: LINES,
    holdersAfter: LINES,
    disk: LINES,
    written: v.exactOptional(v.array(WRITTEN)),
    writtenMore: v.exactOptional(v.number()),
  }),
  teardown: v.exactOptional(TEARDOWN),
})

const STEP = v.variant('kind', [
  v.object({ kind: v.literal('say'), atMs: v.number(), text: v.string() }),
  v.object({
    kind: v.literal('command'),
    atMs: v.number(),
    where: v.string(),
    command: v.string(),
    output: v.string(),
    status: v.number(),
  }),
  v.object({ kind: v.literal('log'), atMs: v.number(), of: v.string(), lines: LINES }),
])

const SCENARIO = v.object({
  name: v.string(),
  summary: v.string(),
  outcome: v.picklist(['as expected', 'not as expected', 'broken off']),
  reason: v.exactOptional(v.string()),
  durationMs: v.number(),
  checks: v.array(CHECK),
  transcript: v.array(STEP),
  logs: v.record(v.string(), v.array(v.object({ atMs: v.number(), line: v.string() }))),
})

const CLUSTER = v.object({
  version: v.string(),
  node: v.string(),
  kubelet: v.string(),
  runtime: v.string(),
  image: v.string(),
})

const RECORD = v.object({
  version: v.literal(VERSION),
  tool: v.object({ name: v.string(), version: v.string(), commit: v.string() }),
  driver: v.string(),
  node: v.object({
    kernel: v.string(),
    systemd: v.string(),
    cpus: v.number(),
    fuseProtocol: v.exactOptional(v.string()),
    cluster: v.exactOptional(CLUSTER),
  }),
  bareNode: v.exactOptional(v.object({ version: v.string(), commit: v.string(), kernel: v.string(), startedAt: v.string() })),
  disagreements: v.exactOptional(
    v.array(v.object({ ...WHICH, consumer: v.string(), cluster: OUTCOME, bareNode: OUTCOME, why: v.exactOptional(v.string()) })),
  ),
  startedAt: v.string(),
  tookMs: v.number(),
  jobs: v.number(),
  seed: v.number(),
  passed: v.boolean(),
  complete: v.exactOptional(v.literal(false)),
  catalogue: v.object({
    failures: TITLES,
    mitigations: TITLES,
    consumers: TITLES,
    outcomes: v.record(v.string(), v.object({ ...TITLE.entries, rank: v.number(), symbol: v.string() })),
  }),
  cells: v.array(CELL),
  firstUse: v.exactOptional(CELL),
  absent: v.array(v.object({ ...WHICH, consumer: v.exactOptional(v.string()), reason: v.string() })),
  scenarios: v.array(SCENARIO),
})

/**
 * Reads a record that `lab run --json` has written. Properties that it does not know are left out: they do not raise the version. Outcomes have the
 * titles and ranks of this lab. `file`: its name, for errors. Throws UsageError that names the file, and the place in it: for what is no JSON, for a
 * record of another version, and for what is no record.
 */
export function parseRecord(text: string, file: string): LabRecord {
  const fail = (why: string): never => {
    throw new UsageError(`${file}: ${why}; name a file that lab run --json has written`)
  }
  const version = versionIn(text)
  if (typeof version === 'number' && version !== VERSION)
    return fail(`it is a record of version ${version}, and this lab reads version ${VERSION}`)
  try {
    const { catalogue, ...rest } = parseJson(RECORD, text)
    return { ...rest, catalogue: { ...catalogue, outcomes: OUTCOMES } }
  } catch (error) {
    const why = error instanceof Error ? error.message + placeOf(error.cause) : String(error)
    return fail(`it is no record of the lab: ${why}`)
  }
}

function versionIn(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('version' in value)) return undefined
    return 'scenarios' in value || 'cells' in value ? value.version : undefined
  } catch {
    return undefined
  }
}

/** Where a text ceases to be JSON. Nothing else of the message is shown: it repeats what is there, which may be a secret. */
function placeOf(cause: unknown): string {
  if (!(cause instanceof SyntaxError)) return ''
  if (cause.message.includes('end of JSON')) return ': it ends too early'
  const [place] = /line \d+ column \d+/.exec(cause.message) ?? []
  return place === undefined ? '' : ` at ${place}`
}
