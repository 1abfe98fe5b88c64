import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Cell, ConsumerResult, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { readerProgram, type ReaderSummary } from '../support/c-reader.ts'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

/** What reads beside a consumer of the lab's, and is of no code of ours: the reader in C, in the same mode. */
const MODES: Readonly<Record<string, string>> = { 'keeps-open': 'held', 'opens-anew': 'reopen', cwd: 'cwd' }

/** Milliseconds by which two reads may differ that wait for one daemon, beside what a busy machine adds. */
const NEAR = 250

/** A consumer's program that starts the reader in C beside it, and asks that for its figures ten times a second. */
const BESIDE = `#!/bin/bash
words="$*"
while [ $# -gt 0 ]; do
  case $1 in --file) file=$2 ;; --way) way=$2 ;; esac
  shift
done
case $way in MODES esac
folder=$(mktemp -d FOLDER/XXXXXX)
echo "$way $file" >"$folder/who"
READER --file "$file" --mode "$mode" --interval-us 5000 >"$folder/figures" 2>"$folder/said" </dev/null &
reader=$!
# It blocks the signal before it says that it has started.
(until grep -qs started "$folder/said"; do sleep 0.1; done
while sleep 0.1 && kill -USR1 "$reader" 2>/dev/null; do :; done) >/dev/null 2>&1 </dev/null &
exec -a dummy-fuse-csi EXECUTABLE $words
`

interface Pair {
  readonly ours: ConsumerResult
  /** All that it has told of itself, the last at the end. */
  readonly told: readonly ReaderSummary[]
  readonly peer: ReaderSummary
}

/** Runs a cell with the peer beside each of some consumers, and returns what both have seen. */
async function cellWithPeers(
  sandbox: Sandbox,
  failure: string,
  mitigation: string,
  consumers: readonly string[],
): Promise<{ cell: Cell; pairs: readonly Pair[] }> {
  const folder = sandbox.directory('figures')
  const cases = Object.entries(MODES).map(([way, mode]) => `${way}) mode=${mode} ;;`)
  const program = join(sandbox.path, 'beside')
  const text = BESIDE.replace('MODES', `${cases.join(' ')} `)
    .replace('FOLDER', folder)
    .replace('READER', await readerProgram())
    .replace('EXECUTABLE', EXECUTABLE)
  writeFileSync(program, text, { mode: 0o755 })
  const json = join(sandbox.path, 'seen.json')
  const script = join(sandbox.path, 'lab.ts')
  const args = ['run', '--failure', failure, '--mitigation', mitigation, '--consumer', consumers.join(','), '--json', json]
  writeFileSync(
    script,
    `import { lab } from ${JSON.stringify(join(ROOT, 'src/programs/lab/program.ts'))}
const command = (argv0: string, args: readonly string[]) =>
  ({ executable: args[0] === 'lab-consumer' ? ${JSON.stringify(program)} : ${JSON.stringify(EXECUTABLE)}, args, argv0 })
process.exit(await lab({ args: ${JSON.stringify(args)}, env: process.env, self: (args) => command('dummy-fuse-csi', args), other: command }))`,
  )
  const { status, stdout, stderr } = await sandbox.run(process.execPath, [script], { timeout: 120_000 })
  assert.equal(status, 0, stdout + stderr)
  const [cell] = (JSON.parse(readFileSync(json, 'utf8')) as LabRecord).cells
  if (cell === undefined) throw new Error(stdout)
  const peers = readdirSync(folder).map((name) => figuresOf(join(folder, name)))
  const pairs = cell.consumers.map((ours) => {
    const peer = peers.find(({ way }) => way === ours.consumer)
    if (peer === undefined) throw new Error(`nobody read beside ${ours.consumer}`)
    const summary = peer.told.at(-1)
    if (summary === undefined) throw new Error(`who read beside ${ours.consumer} has told nothing`)
    return { ours, told: peer.told, peer: summary }
  })
  return { cell, pairs }
}

function figuresOf(folder: string): { way: string; told: readonly ReaderSummary[] } {
  const [way = ''] = readFileSync(join(folder, 'who'), 'utf8').split(' ')
  const lines = readFileSync(join(folder, 'figures'), 'utf8').trimEnd().split('\n')
  return { way, told: lines.map((line) => JSON.parse(line) as ReaderSummary) }
}

/** The least and the most milliseconds that something took, as somebody saw it who looked now and then. */
interface Bounds {
  readonly least: number
  readonly most: number
}

/**
 * For how long a path was dead, as our consumer saw it: it was at each moment from the first failed read to the last, and not at the right reads before and after.
 * A read saw it at some moment between its beginning and its end.
 */
function deadForOurs({ events }: Cell, { consumer, longestStallMs: read }: ConsumerResult): Bounds {
  const own = events.filter(({ lane }) => lane === consumer)
  const errors = own.filter(({ kind }) => kind === 'error')
  const [first, last] = [errors[0]?.atMs ?? NaN, errors.at(-1)?.until ?? NaN]
  const before = own.findLast(({ kind, atMs }) => kind === 'right' && atMs < first)?.until ?? NaN
  const after = own.find(({ kind, atMs }) => kind === 'right' && atMs > first)?.atMs ?? NaN
  return { least: last - first - 2 * read, most: after - before + 2 * read }
}

/** As {@link deadForOurs}. Its times are those of the ends of its reads. */
function deadForPeer({ firstBadNs, lastBadNs, longestGap, longestStall }: ReaderSummary): Bounds {
  return {
    least: ((lastBadNs ?? NaN) - (firstBadNs ?? NaN) - longestStall.ns) / 1e6,
    most: (longestGap.ns + longestStall.ns) / 1e6,
  }
}

/** The longest that it took the peer from one right read to the next before the one that took longest, in milliseconds: a busy machine lets it wait. */
function gapBefore(told: readonly ReaderSummary[], { longestStall }: ReaderSummary): number {
  const before = told.findLast(({ pendingNs, endedNs }) => endedNs - pendingNs < longestStall.atNs)
  assert.ok(before !== undefined, 'it has told of itself before')
  return before.longestGap.ns / 1e6
}

describe("the lab's figures", () => {
  it('agree with a reader in C where a session dies for ever', async () => {
    await using sandbox = new Sandbox()
    const { pairs } = await cellWithPeers(sandbox, 'plugin-killed', 'none', ['keeps-open', 'opens-anew', 'cwd'])
    for (const { ours, peer } of pairs) {
      assert.equal(ours.seen, 'errors')
      assert.deepEqual(new Set([...Object.keys(peer.failed), 'ENOTCONN', 'ECONNABORTED']), new Set(['ENOTCONN', 'ECONNABORTED']))
      assert.ok((peer.failed.ENOTCONN ?? 0) > 10 && peer.right > 10 && peer.wrong === 0)
      assert.ok((peer.lastRightNs ?? 0) < (peer.firstBadNs ?? 0), 'no right read after the first error')
    }
  })

  it('agree with a reader in C on how long a path is dead until it is restored', async () => {
    await using sandbox = new Sandbox()
    const { cell, pairs } = await cellWithPeers(sandbox, 'plugin-killed', 'restore', ['opens-anew', 'keeps-open'])
    for (const { ours, peer } of pairs) {
      if (ours.consumer === 'keeps-open') {
        assert.ok((peer.lastRightNs ?? 0) < (peer.firstBadNs ?? 0))
        continue
      }
      assert.match(ours.seen, /^(recovers|writes-to-host-recovers)$/)
      assert.ok((peer.lastRightNs ?? 0) > (peer.lastBadNs ?? 0), 'right reads at the end')
      const [one, other] = [deadForOurs(cell, ours), deadForPeer(peer)]
      assert.ok(one.least <= other.most && other.least <= one.most, `dead for ${JSON.stringify([one, other])} ms`)
    }
  })

  it('agree with a reader in C on how long a read waits for a daemon that hangs', async () => {
    await using sandbox = new Sandbox()
    const { pairs } = await cellWithPeers(sandbox, 'daemon-hung', 'none', ['keeps-open', 'opens-anew', 'cwd'])
    for (const { ours, told, peer } of pairs) {
      assert.equal(ours.seen, 'waits')
      assert.deepEqual([peer.failed, peer.wrong], [{}, 0])
      const [one, other, gap] = [ours.longestStallMs, peer.longestStall.ns / 1e6, gapBefore(told, peer)]
      // Each may begin its read late, and be told of its end late.
      assert.ok(
        Math.abs(one - other) <= NEAR + 2 * gap,
        `longest stall of ${ours.consumer}: ${one} ms and ${other} ms, gap ${gap} ms`,
      )
    }
  })

  it('agree with a reader in C that nobody notices a plugin that goes', async () => {
    await using sandbox = new Sandbox()
    const { pairs } = await cellWithPeers(sandbox, 'plugin-killed', 'separate', ['keeps-open', 'opens-anew', 'cwd'])
    for (const { ours, peer } of pairs) {
      // On a busy machine a read may wait for a second.
      assert.match(ours.seen, /^(works|waits)$/)
      assert.deepEqual([peer.failed, peer.wrong], [{}, 0])
      assert.ok(peer.right > 10)
    }
  })
})
