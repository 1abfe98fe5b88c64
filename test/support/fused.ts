import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { processStat } from '../../src/os/processes/processes.ts'
import { Fused, type Session } from '../../src/rpc/fused_pb.ts'
import { CallError, CsiClient, RPC_LIMIT } from './csi-client.ts'
import { DIST, EXECUTABLE } from './paths.ts'
import { childrenOf } from './kept.ts'
import { argumentsOf, type Result, type Running, type Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

export const DUMMY_FUSED = join(DIST, 'dummy-fused')

/** How a dummy-fused is to be started. */
export interface FusedOptions {
  /** Under `dummy-fuse-csi keep`, with these words for it; by itself where they are left away. */
  readonly keep?: readonly string[]
  readonly args?: readonly string[]
  /** What its socket and state folder are named after, where one sandbox has several. */
  readonly name?: string
  /** A program that it is executed by, with its arguments. */
  readonly by?: readonly string[]
  /** A program that keep starts, with its arguments, and that executes dummy-fused. */
  readonly through?: readonly string[]
}

/** What a Mount asks for beside its path. */
export interface MountWords {
  readonly options?: readonly string[]
  readonly faults?: readonly string[]
  /** The call's deadline in milliseconds. */
  readonly deadlineMs?: number
}

/** Milliseconds that a busy machine may take to start a process. */
const START_LIMIT = 60_000

/** A dummy-fused in a sandbox, with a socket and a state folder of its own. */
export class FusedProcess {
  readonly socket: string
  readonly stateDir: string
  readonly running: Running
  readonly #sandbox: Sandbox

  private constructor(sandbox: Sandbox, running: Running, socket: string, stateDir: string) {
    this.#sandbox = sandbox
    this.running = running
    this.socket = socket
    this.stateDir = stateDir
  }

  /** Starts one without waiting for it. */
  static begin(sandbox: Sandbox, options: FusedOptions = {}): FusedProcess {
    const { keep, args: own = [], name = 'fused', by = [], through = [] } = options
    const socket = join(sandbox.path, `${name}.sock`)
    const stateDir = join(sandbox.path, `${name}-state`)
    const keeper = keep === undefined ? [] : [EXECUTABLE, 'keep', '--socket', socket, ...keep, '--']
    const [file = '', ...args] = [...by, ...keeper, ...through, DUMMY_FUSED, '--socket', socket, '--state-dir', stateDir, ...own]
    return new FusedProcess(sandbox, sandbox.start(file, args), socket, stateDir)
  }

  /** Starts one and resolves once it answers. */
  static async start(sandbox: Sandbox, options: FusedOptions = {}): Promise<FusedProcess> {
    const fused = FusedProcess.begin(sandbox, options)
    await fused.answers()
    return fused
  }

  /** Resolves once it answers; throws when it, or its keeper, has ended. */
  async answers(): Promise<void> {
    const { child } = this.running
    const answered = async (): Promise<boolean> => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`dummy-fused ended: ${this.log()}`)
      return existsSync(this.socket) && (await this.call(Fused.method.list).catch(unlessAbsent)) !== undefined
    }
    await eventually(`dummy-fused answers; it said: ${this.log()}`, answered, START_LIMIT)
  }

  /** All that it, its keeper and its successors have logged. */
  log(): string {
    return this.running.output()
  }

  /** Waits for a text, or a line's pattern, in the log. */
  async logged(what: string | RegExp): Promise<void> {
    const there = (): boolean => (typeof what === 'string' ? this.log().includes(what) : what.test(this.log()))
    try {
      await eventually(`dummy-fused logs ${String(what)}`, there, START_LIMIT)
    } catch (error) {
      throw new Error(`dummy-fused does not log ${String(what)}; it said: ${this.log()}`, { cause: error })
    }
  }

  /** Each call has a connection of its own: one that broke would keep the next call waiting. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I> = {} as MessageInitShape<I>,
    deadlineMs = RPC_LIMIT,
  ): Promise<MessageShape<O>> {
    using client = new CsiClient(this.socket)
    // A client that connects anew, because the daemon was killed, keeps no event loop going.
    const pending = setInterval(() => undefined, 60_000)
    try {
      return await client.call(method, request, deadlineMs)
    } finally {
      clearInterval(pending)
    }
  }

  /** Calls again while a successor takes over. */
  async persist<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    return await eventually(
      `${method.name} succeeds; dummy-fused said: ${this.log()}`,
      async () => await this.call(method, request).catch(unlessUnavailable),
      START_LIMIT,
    )
  }

  /** Mounts at a path, which is not made. */
  async mount(path: string, more: MountWords = {}): Promise<Session> {
    const { options = [], faults = [], deadlineMs } = more
    const { session } = await this.call(Fused.method.mount, { path, options: [...options], faults: [...faults] }, deadlineMs)
    if (session === undefined) throw new Error('an answer to Mount without a session')
    return session
  }

  /** Mounts a volume for each kind of options that readers could tell from the others; where. */
  async mountKinds(): Promise<readonly string[]> {
    const kinds = [[], ['ro', 'allow_other'], ['direct_io'], ['kernel_cache', 'attr_timeout=60']]
    const paths = kinds.map((_, at) => this.#sandbox.directory(`v${at}`))
    for (const [at, path] of paths.entries()) await this.mount(path, { options: kinds[at] ?? [] })
    return paths
  }

  /** Tells whether there was anything to unmount. */
  async unmount(path: string, graceMs = 2000): Promise<boolean> {
    return (await this.call(Fused.method.unmount, { path, graceMs })).wasMounted
  }

  /** Where sessions are mounted, sorted. */
  async paths(): Promise<string[]> {
    return (await this.call(Fused.method.list)).sessions.map(({ path }) => path).sort()
  }

  /** The process that serves: its keeper's child, if it has one. */
  get pid(): number {
    const all = this.#sandbox.processes('dummy-fused').filter((one) => argumentOf(one, this.stateDir))
    // Between fork and exec a child of it has its name and its arguments.
    const children = new Set(all.flatMap(childrenOf))
    const [pid, ...others] = all.filter((one) => !children.has(one))
    if (pid === undefined || others.length > 0) throw new Error(`there is not one dummy-fused but ${others.length}`)
    return pid
  }

  /** Ends the serving process with SIGKILL and resolves when it is gone; its keeper starts the next one. */
  async kill(): Promise<void> {
    const stat = processStat(this.pid)
    if (stat === undefined) throw new Error('dummy-fused is gone already')
    process.kill(stat.pid, 'SIGKILL')
    await eventually('dummy-fused is gone', () => processStat(stat.pid)?.start !== stat.start)
  }

  /** Ends the serving process with SIGKILL and waits until its successor answers. */
  async replace(): Promise<void> {
    const { pid } = this
    await this.kill()
    await this.answers()
    if (this.pid === pid) throw new Error(`dummy-fused[${pid}] is its own successor`)
  }

  /** Ends what was started, a keeper with its program, by a signal, and resolves to how it ended. Throws if it goes on. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Result> {
    this.running.child.kill(signal)
    let result: Result | undefined
    void this.running.ended.then((ended) => (result = ended))
    return await eventually(`dummy-fused has ended; it said: ${this.log()}`, () => result, START_LIMIT)
  }

  /** The files of its sessions' records, sorted. */
  records(): string[] {
    const folder = join(this.stateDir, 'sessions')
    return existsSync(folder) ? readdirSync(folder).sort() : []
  }
}

/** Undefined for a daemon that is not there now; throws whatever else a call ended with. */
function unlessUnavailable(error: unknown): undefined {
  if (error instanceof CallError && error.code === 'UNAVAILABLE') return undefined
  throw error
}

/** Like {@link unlessUnavailable}, and for one that is still being started: its keeper listens, and the call waits until its deadline. */
function unlessAbsent(error: unknown): undefined {
  if (!(error instanceof CallError && error.code === 'DEADLINE_EXCEEDED')) unlessUnavailable(error)
  return undefined
}

/** False for a process that has ended. */
function argumentOf(pid: number, word: string): boolean {
  const args = argumentsOf(pid)
  return args.includes(word) && !args.includes('keep')
}

/** How often all threads of a process have gone to sleep of their own accord so far. */
export function sleepsOf(pid: number): number {
  const each = readdirSync(`/proc/${pid}/task`).map((task) => {
    try {
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')
      return Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1])
    } catch {
      // The thread has ended in between.
      return 0
    }
  })
  return each.reduce((sum, one) => sum + one, 0)
}

/** Milliseconds of processor time that all threads of a process have used so far. */
export function processorTime(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  // utime and stime, in hundredths of a second (proc_pid_stat(5)).
  return (Number(fields[11]) + Number(fields[12])) * 10
}
