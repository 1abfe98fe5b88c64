import { join } from 'node:path'
import { compileC } from '../../test/support/compile.ts'
import type { Sandbox } from '../../test/support/sandbox.ts'

/** What the C client has measured in one run: microseconds over the rounds of all readers. */
export interface Latencies {
  readonly mode: 'lookup' | 'absent' | 'read' | 'block' | 'whole'
  readonly readers: number
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** One run of the C client. */
export interface LatencyRun {
  readonly mode: Latencies['mode']
  /** Processes, all begin at the same moment; `in-process`: the client itself, which forks none. */
  readonly readers: number | 'in-process'
  /** Of each reader, after a tenth as many that do not count. */
  readonly rounds: number
  /** Bytes of one read(2), of the modes `block` and `whole`. */
  readonly block?: number
  /** Taken in turn. */
  readonly files: readonly string[]
}

/** The file of a mount. */
export function fileIn(mount: string): string {
  return join(mount, 'dummy-file.txt')
}

/** dummyfs's tree on libfuse 3, in C: the path of the program. */
export async function cHello(): Promise<string> {
  return await compileC(join(import.meta.dirname, 'hello.c'), { packages: ['fuse3'] })
}

/** The client that times round trips: the path of the program. */
export async function latencyReader(): Promise<string> {
  return await compileC(join(import.meta.dirname, 'reader.c'))
}

/** Runs the client that times round trips. Rejects with its words. */
export async function latencies(sandbox: Sandbox, { mode, readers, rounds, block, files }: LatencyRun): Promise<Latencies> {
  const args = [
    '--mode',
    mode,
    ...(readers === 'in-process' ? ['--in-process'] : ['--readers', String(readers)]),
    '--rounds',
    String(rounds),
    '--warm-up',
    String(Math.ceil(rounds / 10)),
    ...(block === undefined ? [] : ['--block', String(block)]),
  ]
  const { status, stdout, stderr } = await sandbox.run(await latencyReader(), [...args, ...files], { timeout: 120_000 })
  if (status !== 0) throw new Error(`timing ${mode} failed: ${stderr.trim()}`)
  const { p50, p99, max, ...rest } = JSON.parse(stdout) as Latencies
  return { ...rest, p50: p50 / 1000, p99: p99 / 1000, max: max / 1000 }
}

/** The program that holds a mount namespace with many mounts in it: its path. */
export async function manyMounts(): Promise<string> {
  return await compileC(join(import.meta.dirname, 'many-mounts.c'))
}

/** The program that writes down when it was executed, or when it killed another: its path. */
export async function stamp(): Promise<string> {
  return await compileC(join(import.meta.dirname, 'stamp.c'))
}
