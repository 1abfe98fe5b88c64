import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReaderOptions, ReaderSummary } from './c-reader.ts'
import type { Blow } from './chaos-plan.ts'
import { eventually } from './wait.ts'

/** Readers of one volume, by their names; each uses it in its own way. */
const READERS: Readonly<Record<string, Pick<ReaderOptions, 'mode' | 'privateNamespace'>>> = {
  held: { mode: 'held' },
  reopen: { mode: 'reopen' },
  cwd: { mode: 'cwd' },
  apart: { mode: 'reopen', privateNamespace: true },
}

/** Microseconds between two rounds of each. */
export const READER_INTERVAL = 2000

/** What a chaos test looks at of a reader. */
export interface ChaosReader {
  reading(): Promise<void>
  progress(): Promise<ReaderSummary>
  summary(): Promise<ReaderSummary>
}

/** Starts a reader of each kind of one volume, and waits until all read. `start` names its file. */
export async function startReaders<R extends ChaosReader>(
  start: (name: string, options: Omit<ReaderOptions, 'file'>) => Promise<R>,
): Promise<Map<string, R>> {
  const readers = new Map<string, R>()
  for (const [name, options] of Object.entries(READERS)) {
    readers.set(name, await start(name, { ...options, intervalUs: READER_INTERVAL }))
  }
  for (const reader of readers.values()) await reader.reading()
  return readers
}

/** Where dummy-fused, the plugin and their readers run. */
export interface ChaosSite {
  /** The process of dummy-fused at this moment, ready or not. */
  daemon(): number | undefined
  restartPlugin(how: 'stop' | 'kill'): Promise<void>
  /** Puts another build in place and has it take over. Resolves when it serves. */
  upgrade(): Promise<void>
  /** What a volume's daemon has read of it so far. */
  inspect(): Promise<{ readonly pid: number; readonly reads: number }>
  /** The one reader of that volume; each of its rounds is to ask the daemon. */
  readonly mapped: ChaosReader
}

/** Blows from one check of the mapped reader to the next. */
const BLOWS_BETWEEN_CHECKS = 8
/** Rounds that a check watches. */
const WATCHED = 50

/** Does all that is planned; restarts and upgrades go on while kills do. Rejects with what went wrong first. */
export async function unleash(site: ChaosSite, plan: readonly Blow[], log: (line: string) => void): Promise<void> {
  let restarts = Promise.resolve()
  let upgrades = Promise.resolve()
  let restarted = 0
  for (const [index, blow] of plan.entries()) {
    if (index % BLOWS_BETWEEN_CHECKS === 0) {
      await upgrades
      await checkMapped(site, log)
    }
    await sleep(blow.after)
    for (let i = 0; i < blow.restarts; i++) {
      const how = restarted++ % 2 === 0 ? 'stop' : 'kill'
      restarts = restarts.then(async () => await site.restartPlugin(how)).then(() => log(`restarted the plugin by ${how}`))
    }
    for (let i = 0; i < blow.upgrades; i++) {
      upgrades = upgrades.then(async () => await site.upgrade()).then(() => log('upgraded'))
    }
    // Whatever fails is reported by the await that comes for it.
    for (const running of [restarts, upgrades]) running.catch(() => undefined)
    const first = await kill(site, undefined)
    log(`killed ${first} after ${blow.after} ms`)
    if (blow.twice) log(`killed ${await kill(site, first)} at once`)
  }
  await restarts
  await upgrades
  await checkMapped(site, log)
}

/** Kills the process of this moment, which is not to be the one that was killed last. */
async function kill(site: ChaosSite, last: number | undefined): Promise<number> {
  const end = Date.now() + 30_000
  for (;;) {
    const pid = site.daemon()
    if (pid !== undefined && pid !== last && killNow(pid)) return pid
    if (Date.now() > end) throw new Error('there has been no dummy-fused for 30 s')
    await sleep(1)
  }
}

/** Tells whether there was such a process. */
function killNow(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

/** Each round of the mapped reader is a READ, while one process serves it. */
async function checkMapped(site: ChaosSite, log: (line: string) => void): Promise<void> {
  const before = await site.inspect()
  const from = await site.mapped.progress()
  await eventually('the mapped reader reads on', async () => (await site.mapped.progress()).rounds >= from.rounds + WATCHED, 30_000)
  const to = await site.mapped.progress()
  assert.deepEqual(to.failed, {}, 'mmap')
  const after = await site.inspect()
  if (after.pid !== before.pid) throw new Error(`dummy-fused[${before.pid}] was replaced by ${after.pid} while nobody did so`)
  const rounds = to.rounds - from.rounds
  const reads = after.reads - before.reads
  // The first round counted may have read before.
  if (reads < rounds - 1) throw new Error(`the mapped reader had ${rounds} rounds, but dummy-fused read ${reads} READs`)
  log(`${rounds} rounds of the mapped reader were ${reads} READs`)
}

/** Each reader goes on, and each of its rounds so far was right. Ends them; tells how long each had to wait. */
export async function assertUnharmed(readers: ReadonlyMap<string, ChaosReader>, tell: (line: string) => void): Promise<void> {
  for (const [name, reader] of readers) {
    const before = await reader.progress()
    await eventually(`${name} reads on`, async () => (await reader.progress()).right > before.right, 30_000)
    const { rounds, right, wrong, failed, longestStall } = await reader.summary()
    assert.deepEqual({ right, wrong, failed }, { right: rounds, wrong: 0, failed: {} }, name)
    tell(`${name}: ${right} rounds, the longest of ${Math.round(longestStall.ns / 1e6)} ms`)
  }
}
