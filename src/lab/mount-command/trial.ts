import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import type { Libc } from '../../os/libc.ts'
import { abortConnection } from '../../os/mounts/fuse-connections.ts'
import { isFuse } from '../../os/mounts/mount-table.ts'
import { readMountinfo, topmostAt } from '../../os/mounts/mountinfo.ts'
import { probe } from '../../os/mounts/probe.ts'
import { ChildProgram } from '../../os/processes/child-program.ts'
import { processIds } from '../../os/processes/processes.ts'
import { processesWithFuse } from '../cell/who-answers.ts'
import { COVER } from '../namespaces.ts'
import { runShell } from '../shell.ts'
import type { MountSeen, MountTrial } from './seen.ts'

/** What is handed to the private node. */
export interface MountJob {
  readonly kind: 'mount'
  readonly trial: MountTrial
}

/** Milliseconds between two looks, and for which a mount that stands is watched. */
const LOOK = 20
const SETTLE = 300

/** Milliseconds in which a mount answers. */
const ANSWER = 1000

/** Carries a trial out, on a private node that ends after it with all that it leaves. Rejects if the command cannot be started. */
export async function carryOutTrial(
  libc: Libc,
  { words, cwd, env, injection, hidesDevice, patience }: MountTrial,
): Promise<MountSeen> {
  if (hidesDevice) {
    const { status, output } = await runShell([], `set -e\n${COVER}\ncover /dev fuse`)
    if (status !== 0) throw new Error(`cannot take /dev/fuse away: ${output}`)
  }
  const folder = mkdtempSync(join(tmpdir(), 'mount-'))
  const target = mkdtempSync(join(folder, 'target-'))
  const files = { output: join(folder, 'output'), extra: join(folder, 'descriptor-of-the-caller') }
  const [out, extra] = [openSync(files.output, 'a'), openSync(files.extra, 'a')]
  // The tracer is no parent of the command, so that its own end can be seen.
  const tracer =
    injection === undefined
      ? []
      : ['strace', '-DDD', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${callsOf(injection)}`, '-e', `inject=${injection}`, '--']
  const [file = '', ...args] = [...tracer, ...words.map((word) => word.replaceAll('{target}', target))]
  const began = performance.now()
  const now = (): number => Math.round(performance.now() - began)
  const child = new ChildProgram({ file, args, cwd, env: { ...env }, stdio: ['ignore', out, out, extra] })
  const returned: { after?: number; stood?: boolean } = {}
  let stoodAfter: number | undefined
  try {
    if (child.pid === 0) await child.ended
    child.ended.then(
      () => (returned.after = now()),
      () => undefined,
    )
    for (;;) {
      const isLast = now() >= patience
      // The command is looked at before the mount: what comes between counts as standing.
      const { after } = returned
      const stands = await standsAt(target)
      if (stands) stoodAfter ??= now()
      if (after !== undefined) returned.stood ??= stands
      const failed = after !== undefined && child.end?.status !== 0
      if (stands && after !== undefined) break
      if (stands && stoodAfter !== undefined && now() - stoodAfter > SETTLE && servesItself(child.pid)) break
      // What nothing serves any more will not mount.
      if (after !== undefined && !stands && (failed || now() - after > SETTLE) && others().length === 0) break
      // A look begins after the time is over, so that a pause of this process hides neither an end nor a mount.
      if (isLast) break
      await sleep(LOOK)
    }
    const { end } = child
    return {
      ...(end === undefined ? {} : { returned: { after: returned.after ?? now(), status: end.status, signal: end.signal } }),
      stoodAtReturn: returned.stood ?? false,
      ...(stoodAfter === undefined ? {} : { stoodAfter }),
      output: readFileSync(files.output, 'utf8'),
      holds: end === undefined ? [] : heldBy(others(), files),
    }
  } catch (error) {
    throw new Error(`cannot start ${words[0] ?? ''}: ${messageOf(error)}`, { cause: error })
  } finally {
    closeSync(out)
    closeSync(extra)
    // A process that waits in the kernel for a mount whose device it holds itself cannot be killed, and the node would never end.
    for (const connection of new Set(processesWithFuse().map((holder) => holder.connection))) abortConnection(libc, connection)
  }
}

/** The system calls that an injection names. */
function callsOf(injection: string): string {
  return injection.split(':', 1)[0] ?? ''
}

/** Whether a FUSE mount is at a path and answers. Where it is gone after the answer, the directory below it may have answered. */
async function standsAt(path: string): Promise<boolean> {
  const mount = fuseMountAt(path)
  return mount !== undefined && (await probe(path, ANSWER)).kind === 'alive' && fuseMountAt(path) === mount
}

/** The id of the FUSE mount on top at a path. */
function fuseMountAt(path: string): number | undefined {
  const top = topmostAt(readMountinfo(), path)
  return top !== undefined && isFuse(top.fsType) ? top.id : undefined
}

/** Whether this process alone has a FUSE connection: one that starts a daemon has it together with that, or not at all, until it returns. */
function servesItself(pid: number): boolean {
  const holders = processesWithFuse()
  return holders.length > 0 && holders.every((holder) => holder.pid === pid)
}

/** The processes of the node that are neither this one nor its parents. */
function others(): readonly number[] {
  const own = new Set([1, process.pid, process.ppid])
  return processIds().filter((pid) => !own.has(pid) && isRunning(pid))
}

/** A zombie, a thread of the kernel and the tracer are none. */
function isRunning(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) !== '' && readFileSync(`/proc/${pid}/comm`, 'utf8') !== 'strace\n'
  } catch {
    return false
  }
}

function heldBy(
  pids: readonly number[],
  { output, extra }: { readonly output: string; readonly extra: string },
): readonly string[] {
  const links = pids.flatMap((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
    } catch {
      return []
    }
  })
  return [
    ...(links.includes(output) ? ['standard output or standard error'] : []),
    ...(links.includes(extra) ? ['descriptor 3, which it has inherited'] : []),
  ]
}
