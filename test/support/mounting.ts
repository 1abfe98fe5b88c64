import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { processStat } from '../../src/os/processes/processes.ts'
import { DUMMY_FUSE } from './paths.ts'
import { descriptorsOf, type Result, type Running, type Sandbox } from './sandbox.ts'
import { stop } from './stopped.ts'
import { eventually } from './wait.ts'

/** Mounts in the background at a new directory of the sandbox, with more words before it, and returns its path. */
export async function mountDummyFuse(sandbox: Sandbox, args: readonly string[] = [], name = 'mnt'): Promise<string> {
  const path = sandbox.directory(name)
  const { status, stderr } = await sandbox.run(DUMMY_FUSE, [...args, path])
  assert.equal(status, 0, stderr)
  return path
}

/** The daemon that serves below the sandbox, when it is the only one. */
export function daemonIn(sandbox: Sandbox): number {
  const [pid, ...others] = sandbox.processes('dummy-fuse')
  assert.ok(pid !== undefined && others.length === 0, 'there is one daemon')
  return pid
}

/** Ends the one daemon with SIGKILL and waits until its connection is cut: its arguments go first, its descriptors with its last thread. */
export async function killDaemonIn(sandbox: Sandbox): Promise<void> {
  const pid = daemonIn(sandbox)
  process.kill(pid, 'SIGKILL')
  await eventually(`dummy-fuse[${pid}] is gone`, () => processStat(pid) === undefined)
}

/** Starts `dummy-fuse -f` at a directory and waits until it is mounted there. */
export async function inForeground(sandbox: Sandbox, path: string, args: readonly string[] = []): Promise<Running> {
  const running = sandbox.start(DUMMY_FUSE, ['-f', ...args, path])
  await eventually(`${path} is mounted: ${running.output()}`, () => sandbox.mounts().includes(path))
  return running
}

/** Waits until a program that was started has ended; throws if it goes on for longer than ten seconds. */
export async function endOf(running: Running): Promise<Result> {
  let result: Result | undefined
  void running.ended.then((ended) => (result = ended))
  return await eventually('the program has ended', () => result)
}

/** Makes a dead mount: mounts, kills the daemon with SIGKILL, waits until it is gone, and returns the path. */
export async function deadMount(sandbox: Sandbox, name = 'mnt'): Promise<string> {
  const path = await mountDummyFuse(sandbox, [], name)
  await killDaemonIn(sandbox)
  return path
}

/** Makes a hung mount: mounts and stops the daemon with SIGSTOP, and returns the path. */
export async function hungMount(sandbox: Sandbox, name = 'mnt'): Promise<string> {
  const path = await mountDummyFuse(sandbox, [], name)
  await stop(daemonIn(sandbox))
  return path
}

/**
 * What reads of a mount end with when its daemon dies, in the workload's words. The latter is for one that was under way (fs/fuse/dev.c,
 * fuse_abort_conn).
 */
export const DEAD_READS = ['transport endpoint is not connected', 'software caused connection abort'] as const

/** The line that mount(8) prints for a path; empty if nothing is mounted there. */
export async function mountLine(sandbox: Sandbox, path: string): Promise<string> {
  const { stdout } = await sandbox.run('mount', [])
  return stdout.split('\n').find((line) => line.includes(` on ${path} type `)) ?? ''
}

/** Whether a process's main thread waits in the kernel for the answer of a FUSE file system. */
export function waitsForFuse(pid: number): boolean {
  return readFileSync(`/proc/${pid}/wchan`, 'utf8').includes('request_wait')
}

/** Waits until a daemon's device is connected: the mount is in no table before INIT is answered. */
export async function mountCalled(sandbox: Sandbox): Promise<void> {
  await eventually('the device is connected', () => sandbox.processes('dummy-fuse').some(hasConnection))
}

function hasConnection(pid: number): boolean {
  const devices = descriptorsOf(pid).filter(({ target }) => target === '/dev/fuse')
  return devices.some(({ info }) => /^fuse_connection:/m.test(info))
}
