import { readFileSync } from 'node:fs'
import { connectionsOf } from '../../os/mounts/fuse-connections.ts'
import { type Probe, probe } from '../../os/mounts/probe.ts'
import { processIds, sendSignal } from '../../os/processes/processes.ts'
import { STEP_DEADLINE } from '../wait.ts'
import { stopAll } from './node-processes.ts'

/** A process that has a descriptor of a FUSE connection open. */
export interface FuseHolder {
  readonly pid: number
  /** As `ps -o comm` shows it. */
  readonly comm: string
  readonly connection: number
}

/** Milliseconds in which a mount answers. */
const ANSWER = 1000

/** How many times as long as before a mount has to be silent to count as one that does not answer. */
const SLOWER = 10

/** The processes that this process namespace has, itself apart, with each FUSE connection that they hold; none where the kernel does not tell. */
export function processesWithFuse(): readonly FuseHolder[] {
  return processIds()
    .filter((pid) => pid !== process.pid)
    .flatMap((pid) => [...new Set(connectionsOf(pid) ?? [])].map((connection) => ({ pid, comm: commOf(pid), connection })))
}

/**
 * Stops each of these processes for a moment, one after the other, and looks whether its connections answer meanwhile. `mounts`: by connection, where it is
 * mounted. `answers`: whether the connection is silent without that process; undefined if it is not mounted, or does not answer before.
 */
export async function whoAnswers<T extends FuseHolder>(
  holders: readonly T[],
  mounts: ReadonlyMap<number, string>,
): Promise<readonly (T & { readonly answers: boolean | undefined })[]> {
  const found: (T & { readonly answers: boolean | undefined })[] = []
  for (const [pid, held] of Map.groupBy(holders, (holder) => holder.pid)) {
    const silent = await silentWhileStopped(
      pid,
      held.flatMap(({ connection }) => mounts.get(connection) ?? []),
    )
    found.push(...held.map((one) => ({ ...one, answers: silent.get(mounts.get(one.connection) ?? '') })))
  }
  return found
}

/** By path, whether the mount there does not answer while a process is stopped. Without those of which that is not known. */
async function silentWhileStopped(pid: number, paths: readonly string[]): Promise<ReadonlyMap<string, boolean>> {
  const began = performance.now()
  const before = await probed(paths, STEP_DEADLINE)
  const time = Math.max(ANSWER, SLOWER * (performance.now() - began))
  const asked = paths.filter((path) => before.get(path) === 'alive')
  try {
    await stopAll([pid])
    const meanwhile = await probed(asked, time)
    return new Map([...meanwhile].flatMap(([path, kind]) => (kind === 'unknown' ? [] : [[path, kind === 'hung'] as const])))
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
