import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { settledWithin } from '../../src/os/processes/settled-within.ts'
import type { Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** A system call that is to fail, without being executed. */
export interface Fault {
  /** Names of system calls, with commas between them. */
  readonly call: string
  /** The errno's name. */
  readonly error: string
  /** The how manieth call of each thread fails, from 1; `2+` is every one from the second. */
  readonly when: string | number
  /** Only calls on this path, or on a descriptor of it. */
  readonly path?: string
  /** In processes that are started meanwhile too. */
  readonly follow?: boolean
}

/** strace's words for a fault; `output` is where it writes what it has seen. */
export function faultArgs({ call, error, when, path, follow = false }: Fault, output: string): readonly string[] {
  const of = path === undefined ? [] : ['-P', path]
  const all = follow ? ['-f'] : []
  return [...all, '-qq', '-o', output, ...of, '-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=${when}`]
}

/** How many calls have been made to fail. */
export function injectedIn(output: string): number {
  return readFileSync(output, 'utf8').split('(INJECTED)').length - 1
}

/** strace at a process that runs. Leave it before anything of the process is judged. */
export class Injection {
  readonly #running: Running
  readonly #output: string

  private constructor(running: Running, output: string) {
    this.#running = running
    this.#output = output
  }

  /** Attaches to the first thread of a process, or, with `follow`, to all of them. Resolves once faults can come. */
  static async into(sandbox: Sandbox, pid: number, fault: Fault): Promise<Injection> {
    const output = join(sandbox.path, `strace-${pid}`)
    const args = faultArgs(fault, output).filter((word) => word !== '-qq')
    return new Injection(await attach(sandbox, pid, args, fault.follow === true), output)
  }

  /** How many calls have been made to fail so far. */
  get count(): number {
    return injectedIn(this.#output)
  }

  /** Detaches; tells how many calls have been made to fail. */
  async leave(): Promise<number> {
    await detach(this.#running)
    return injectedIn(this.#output)
  }
}

/** Starts strace with these words at a process that runs, all of its threads or the first. Resolves once it sees what they do. */
export async function attach(sandbox: Sandbox, pid: number, args: readonly string[], all: boolean): Promise<Running> {
  const running = sandbox.start('strace', [...args, '-p', String(pid)])
  const attached = (): boolean => {
    if (running.child.exitCode !== null) throw new Error(`strace ended: ${running.output()}`)
    return tracersOf(pid, all).every((tracer) => tracer === running.pid)
  }
  await eventually(`strace is attached: ${running.output()}`, attached)
  return running
}

/** Milliseconds for which a strace may detach. */
const DETACHING = 5000

/**
 * Ends a strace that is attached; what it traced goes on. One that traces a process whose first thread was killed while it made a second one
 * waits for the first for ever, and the kernel detaches the others when it is killed (ptrace(2)).
 */
export async function detach(strace: Running): Promise<void> {
  strace.child.kill('SIGTERM')
  if ((await settledWithin(strace.ended, DETACHING)) === 'late') strace.child.kill('SIGKILL')
  await strace.ended
}

/** Who traces the threads of a process, or its first one: process ids, 0 for nobody (proc_pid_status(5)). */
function tracersOf(pid: number, all: boolean): readonly number[] {
  const threads = all ? readdirSync(`/proc/${pid}/task`) : [String(pid)]
  return threads.flatMap((thread) => {
    try {
      return Number(/^TracerPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))?.[1])
    } catch (error) {
      // A thread other than the first may have ended in between.
      if (thread === String(pid)) throw error
      return []
    }
  })
}
