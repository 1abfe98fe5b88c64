import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type MountinfoLine, parseMountinfo } from '../../src/os/mounts/mountinfo.ts'
import type { Result, Sandbox } from './sandbox.ts'

/** What the volume's only file holds. */
export const GREETING = 'Hello world!\n'

/** All that is mounted at one path, the topmost layer last. */
export function layersAt(path: string): readonly MountinfoLine[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')).filter((line) => line.mountPoint === path)
}

/** Every path at which something is mounted. */
export function mountPoints(): ReadonlySet<string> {
  return new Set(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')).map(({ mountPoint }) => mountPoint))
}

/** The topmost mount at a path. Throws if there is none. */
export function mountAt(path: string): MountinfoLine {
  const top = layersAt(path).at(-1)
  if (top === undefined) throw new Error(`nothing is mounted at ${path}`)
  return top
}

/** Runs mount(8). Throws with its words. */
export function mount(...args: readonly string[]): void {
  run('mount', args)
}

/** Takes a mount off with all below it, whoever uses them. Throws with the words of umount(8). */
export function umountLazily(path: string): void {
  run('umount', ['-l', path])
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
}

/** Reads the file below a mounted directory in a process that a hung file system cannot make ours hang with. */
export async function read(sandbox: Sandbox, directory: string): Promise<Result> {
  return await sandbox.run('cat', [`${directory}/dummy-file.txt`], { timeout: 20_000 })
}

/** Whether a consumer finds the volume's file below a directory. */
export async function serves(sandbox: Sandbox, directory: string): Promise<boolean> {
  const { stdout } = await read(sandbox, directory)
  return stdout === GREETING
}

/** The options of the topmost mount at a path without odd letters, as /proc/mounts has them. */
export function optionsAt(path: string): readonly string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  const line = lines.findLast((one) => one.split(' ')[1] === path)
  if (line === undefined) throw new Error(`nothing is mounted at ${path}`)
  return line.split(' ')[3]?.split(',') ?? []
}
