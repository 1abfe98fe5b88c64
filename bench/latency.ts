import { existsSync } from 'node:fs'
import { messageOf } from '../src/errors.ts'
import { DUMMY_FUSE } from '../test/support/paths.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { medians } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { cHello, fileIn, latencies, type Latencies, type LatencyRun } from './peers/peers.ts'
import { ratio, type Row } from './row.ts'

export const MODES = { lookup: 'LOOKUP', absent: 'LOOKUP of absent names', read: 'open + read + close' } as const
export const READERS = [1, 2, 8]

/** Round trips of each run, whatever the readers; a run of one reader takes a tenth of a second. */
export const TRIPS = 4000

type Client = Pick<LatencyRun, 'readers'> & { readonly mode: keyof typeof MODES }

type Side = 'session' | 'native' | 'hello'

/**
 * Round trips from C: our session beside a libfuse3 hello, and beside fuse-native. Each has its mount all the while, and a run in turn. A
 * fuse-native that cannot be had takes no other figure along.
 */
async function measure(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  const session = await mounted(sandbox, DUMMY_FUSE, ['--backend', 'session'])
  const hello = await mounted(sandbox, await cHello(), [])
  const native = await mounted(sandbox, DUMMY_FUSE, ['--backend', 'fuse-native']).catch(messageOf)
  const files = new Map<Side, string>([
    ['session', session],
    ['hello', hello],
  ])
  if (existsSync(native)) files.set('native', native)
  const rows: Row[] = []
  const clients = [
    ...READERS.map((readers) => ({ mode: 'lookup', readers }) as const),
    { mode: 'absent', readers: 'in-process' } as const,
    ...READERS.map((readers) => ({ mode: 'read', readers }) as const),
  ]
  for (const client of clients) rows.push(...judged(client, await alternated(sandbox, rounds, [...files], client), native))
  return rows
}

async function alternated(
  sandbox: Sandbox,
  rounds: number,
  sides: readonly (readonly [Side, string])[],
  { mode, readers }: Client,
): Promise<Record<Side, readonly Latencies[]>> {
  const runs: Record<Side, Latencies[]> = { session: [], native: [], hello: [] }
  for (let round = 0; round < rounds; round++) {
    // Another one begins each time: who comes after whom is to be nobody's advantage.
    const first = round % sides.length
    for (const [side, file] of [...sides.slice(first), ...sides.slice(0, first)]) {
      runs[side].push(
        await latencies(sandbox, { mode, readers, rounds: TRIPS / (readers === 'in-process' ? 1 : readers), files: [file] }),
      )
    }
  }
  return runs
}

function judged({ mode, readers }: Client, runs: Record<Side, readonly Latencies[]>, trouble: string): Row[] {
  const who = readers === 'in-process' ? '1 process that does not fork' : `${readers} ${readers === 1 ? 'reader' : 'readers'}`
  const work = `${MODES[mode]}, ${who}`
  const ours = medians('session', runs.session)
  const hello = medians('libfuse3 in C', runs.hello)
  const unit = 'µs'
  const native: Row =
    runs.native.length === 0
      ? { work: `${work}: p50 beside fuse-native`, error: trouble.split('\n')[0] ?? '' }
      : ratio({ work: `${work}: p50`, unit, limit: 0.5, ours, peer: medians('fuse-native', runs.native) })
  return [
    ratio({ work: `${work}: p50`, unit, limit: 1, ours, peer: hello }),
    ratio({ work: `${work}: p99`, unit, limit: 1.2, ours, peer: hello, by: 'p99' }),
    native,
  ]
}

/** Mounts and returns the path of the file. */
async function mounted(sandbox: Sandbox, program: string, args: readonly string[]): Promise<string> {
  const path = sandbox.directory(`mounts/${args.at(-1) ?? 'hello'}`)
  const { status, stderr } = await sandbox.run(program, [...args, path])
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status ?? 'a signal'}: ${stderr.trim()}`)
  return fileIn(path)
}

export const latency: Measurement = { name: 'latency', about: 'round trips of one mount, and of its peers', measure }
