import { readFileSync } from 'node:fs'
import { connectionsOf } from '../../os/mounts/fuse-connections.ts'
import { type Probe, probe } from '../../os/mounts/probe.ts'
import { processIds, sendSignal } from '../../os/processes/processes.ts'
import { stopAll } from './node-processes.ts'

/** A process that has a descriptor of a FUSE connection open. */
export interface FuseHolder {
  readonly pid: number
  /** As `ps -o comm` shows it. */
  readonly comm: string
  readonly connection: number
}

/** Milliseconds for which a mount has to be silent to count as one that does not answer, at least and at most. */
const ANSWER = 1000
const MOST = 5000

/** How many times as long as before it has to be silent. */
const SLOWER = 10

/** The processes that this process namespace has, itself apart, with each FUSE connection that they hold; none where the kernel does not tell. */
export function processesWithFuse(): readonly FuseHolder[] {
  return processIds()
    .filter((pid) => pid !== process.pid)
    .flatMap((pid) => [...new Set(connectionsOf(pid) ?? [])].map((connection) => ({ pid, comm: commOf(pid), connection })))
}

/** A holder, and whether its connection is silent without it; undefined if that is not mounted, or does not answer before. */
type Tried<T> = T & { readonly answers: boolean | undefined }

/**
 * Stops each of these processes for a moment, one after the other, and looks whether its connections answer meanwhile. `mounts`: by connection, where it is
 * mounted. Several processes without which one connection is silent are tried again, for longer: a daemon may get no processor on a busy machine.
 */
export async function whoAnswers<T extends FuseHolder>(
  holders: readonly T[],
  mounts: ReadonlyMap<number, string>,
): Promise<readonly Tried<T>[]> {
  const paths = [...new Set(holders.flatMap(({ connection }) => mounts.get(connection) ?? []))]
  const began = performance.now()
  const before = await probed(paths, MOST)
  const alive = new Map([...mounts].filter(([, path]) => before.get(path) === 'alive'))
  const time = Math.min(MOST, Math.max(ANSWER, SLOWER * (performance.now() - began)))
  const tried = await tryEach(holders, alive, time)
  const isDoubtful = (one: Tried<T>): boolean =>
    one.answers === true &&
    tried.some(({ pid, connection, answers }) => pid !== one.pid && connection === one.connection && answers === true)
  const again = await tryEach(tried.filter(isDoubtful), alive, MOST)
  return [...tried.filter((one) => !isDoubtful(one)), ...again]
}

async function tryEach<T extends FuseHolder>(
  holders: readonly T[],
  mounts: ReadonlyMap<number, string>,
  time: number,
): Promise<readonly Tried<T>[]> {
  const found: Tried<T>[] = []
  for (const [pid, held] of Map.groupBy(holders, (holder) => holder.pid)) {
    const seen = await probedWithout(
      pid,
      held.flatMap(({ connection }) => mounts.get(connection) ?? []),
      time,
    )
    for (const one of held) {
      const kind = seen.get(mounts.get(one.connection) ?? '')
      found.push({ ...one, answers: kind === undefined || kind === 'unknown' ? undefined : kind === 'hung' })
    }
  }
  return found
}

/** By path, what a probe says while a process is stopped. */
async function probedWithout(pid: number, paths: readonly string[], time: number): Promise<ReadonlyMap<string, Probe['kind']>> {
  if (paths.length === 0) return new Map()
  try {
    await stopAll([pid])
    return await probed(paths, time)
  } finally {
    sendSignal(pid, 'SIGCONT')
  }
}

async function probed(paths: readonly string[], time: number): Promise<ReadonlyMap<string, Probe['kind']>> {
  return new Map(await Promise.all(paths.map(async (path) => [path, (await probe(path, time)).kind] as const)))
}

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return '?'
  }
}
