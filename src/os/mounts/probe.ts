import { readFileSync } from 'node:fs'
import { codeOf, messageOf } from '../../errors.ts'
import { run } from '../processes/run.ts'
import { SHARED_LIMITS } from '../limits.ts'

/** statfs(2)'s figures: blocks in units of `blockSize` bytes. */
export interface Usage {
  readonly blockSize: number
  readonly blocks: number
  readonly blocksFree: number
  readonly blocksAvailable: number
  readonly files: number
  readonly filesFree: number
}

/**
 * The outcome of a probe. `alive`: the file system answers. `dead`: its server has ended. `hung`: it does not answer in time. `absent`: the path does
 * not exist. `unknown`: the probe itself failed, which says nothing about the file system, so nothing must be unmounted or killed.
 */
export type Probe =
  | { readonly kind: 'alive'; readonly usage: Usage }
  | { readonly kind: 'dead'; readonly message: string }
  /** `gone` resolves when the probing process has ended. Until then another probe would wait too. */
  | { readonly kind: 'hung'; readonly gone: Promise<void> }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly message: string }

/** strerror(3) of ENOTCONN and ECONNABORTED, by which the kernel tells that a FUSE connection has no server any more (fs/fuse/dev.c). */
const DEAD: ReadonlySet<string> = new Set(['Transport endpoint is not connected', 'Software caused connection abort'])

/** strerror(3) of ENOENT and ENOTDIR. */
const ABSENT: ReadonlySet<string> = new Set(['No such file or directory', 'Not a directory'])

/** strerror(3) of ENOSYS. */
const UNKNOWN_REQUEST = 'Function not implemented'

/** Of a file system that does not tell. */
const NO_USAGE: Usage = { blockSize: 0, blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0 }

/**
 * Asks the file system at a path for its statistics, in a separate process, because nothing can interrupt a thread that waits for a hung file system.
 * coreutils' stat(1) is part of every Debian and starts in a millisecond. Never rejects.
 */
export async function probe(path: string, deadline = SHARED_LIMITS.probe): Promise<Probe> {
  let result: Awaited<ReturnType<typeof run>>
  try {
    result = await run('stat', ['-f', '-c', '%S %b %f %a %c %d', '--', path], deadline, isInStatfs)
  } catch (error) {
    return { kind: 'unknown', message: `cannot ask ${path} for its state: stat(1) does not start: ${messageOf(error)}` }
  }
  if (result.kind === 'timeout') return { kind: 'hung', gone: result.gone }
  if (result.kind === 'killed')
    return { kind: 'unknown', message: `cannot ask ${path} for its state: stat(1) was killed before it had an answer` }
  if (result.status === 0) return usageOrUnknown(path, result.stdout)
  const message = result.stderr.trim().split(': ').at(-1) ?? ''
  if (DEAD.has(message)) return { kind: 'dead', message: message.toLowerCase() }
  if (ABSENT.has(message)) return { kind: 'absent' }
  // A file system without statfs has answered.
  if (message === UNKNOWN_REQUEST) return { kind: 'alive', usage: NO_USAGE }
  return { kind: 'unknown', message: `cannot ask ${path} for its state: stat(1) says ${message.toLowerCase() || 'nothing'}` }
}

/** The number of statfs(2) (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h). */
const STATFS: Readonly<Partial<Record<NodeJS.Architecture, number>>> = { x64: 137, arm64: 43 }

/** Whether a process waits in statfs(2), by proc_pid_syscall(5); true where the kernel does not tell. */
function isInStatfs(pid: number): boolean {
  const number = STATFS[process.arch]
  if (number === undefined) return true
  try {
    return readFileSync(`/proc/${pid}/syscall`, 'utf8').startsWith(`${number} `)
  } catch (error) {
    // It has ended, and its answer is not read yet (ENOENT, ESRCH).
    return codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ESRCH'
  }
}

function usageOrUnknown(path: string, text: string): Probe {
  const [blockSize = NaN, blocks = NaN, blocksFree = NaN, blocksAvailable = NaN, files = NaN, filesFree = NaN] = text
    .trim()
    .split(' ')
    .map(Number)
  const usage = { blockSize, blocks, blocksFree, blocksAvailable, files, filesFree }
  return Object.values(usage).some(Number.isNaN)
    ? { kind: 'unknown', message: `cannot ask ${path} for its state: stat(1) answers in another form` }
    : { kind: 'alive', usage }
}
