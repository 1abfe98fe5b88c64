import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Fused, type InspectResponse } from '../../src/rpc/fused_pb.ts'
import { CallError, CsiClient } from './csi-client.ts'
import { childrenOf } from './kept.ts'
import { EXECUTABLE } from './paths.ts'
import { argumentsOf, devicesOf, type Running, type Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** How a dummy-fused under keep is to be. */
export interface KeptFusedOptions {
  /** Words for dummy-fused. */
  readonly args?: readonly string[]
  /** Words for keep. */
  readonly keep?: readonly string[]
  /** A copy of the executable of its own, to be replaced by {@link KeptFused.replaceExecutable}. */
  readonly replaceable?: boolean
}

/**
 * One life of dummy-fused, in the process that keep has started: traced, if a file says so, by a strace that is no parent of it. The file says it
 * once.
 */
const LIFE = `if mv "$0" "$0.now" 2>/dev/null; then exec strace -D -f -qq -o "$0.trace" $(cat "$0.now") "$@"; fi
exec "$@"`

/** The entry of a system call at which a life ends by SIGKILL: the call is not executed. */
export interface Moment {
  readonly call: string
  /** That of a descriptor of this path alone. */
  readonly of?: string
  /** The how manieth in that life, from 1. */
  readonly nth: number
}

/** dummy-fused in a sandbox, started again and again by `dummy-fuse-csi keep`, which has its descriptors meanwhile. */
export class KeptFused {
  readonly socket: string
  readonly stateDir: string
  readonly keep: Running
  readonly #program: string
  readonly #nextLife: string
  #builds = 0

  private constructor(sandbox: Sandbox, { args = [], keep = [], replaceable = false }: KeptFusedOptions) {
    this.socket = join(sandbox.path, 'fused.sock')
    this.stateDir = join(sandbox.path, 'fused-state')
    this.#program = join(sandbox.directory('bin'), 'dummy-fused')
    if (replaceable) copyFileSync(EXECUTABLE, this.#program)
    const program = replaceable ? [this.#program] : [EXECUTABLE, 'fused']
    const own = [...program, '--socket', this.socket, '--state-dir', this.stateDir, ...args]
    this.#nextLife = join(sandbox.path, 'next-life')
    const by = ['sh', '-c', LIFE, this.#nextLife]
    this.keep = sandbox.start(EXECUTABLE, ['keep', '--socket', this.socket, ...keep, '--', ...by, ...own])
  }

  /** Starts both and resolves once dummy-fused is ready. */
  static async start(sandbox: Sandbox, options: KeptFusedOptions = {}): Promise<KeptFused> {
    const fused = new KeptFused(sandbox, options)
    await fused.logged(/ is ready/)
    return fused
  }

  /** What both have logged. */
  log(): string {
    return this.keep.output()
  }

  async logged(what: RegExp, deadline = 30_000): Promise<void> {
    try {
      await eventually(`the log has ${String(what)}`, () => what.test(this.log()), deadline)
    } catch (error) {
      throw new Error(this.log(), { cause: error })
    }
  }

  /** The process of dummy-fused at this moment, ready or not. */
  pid(): number | undefined {
    const isFused = ([name, ...args]: readonly string[]): boolean => name !== 'strace' && args.includes(this.stateDir)
    return childrenOf(this.keep.pid).find((pid) => isFused(argumentsOf(pid)))
  }

  /** {@link pid}, once there is one that is not `last`. */
  async another(last?: number): Promise<number> {
    try {
      return await eventually('there is another dummy-fused', () => {
        const pid = this.pid()
        return pid === last ? undefined : pid
      })
    } catch (error) {
      const state = last === undefined ? '' : stateOf(last)
      throw new Error(
        `dummy-fused[${last ?? 'none'}] goes on, with ${this.armed ? 'strace' : 'no strace'}: ${state}\n${this.log()}`,
        {
          cause: error,
        },
      )
    }
  }

  /** Resolves once a dummy-fused that is none of `not` answers. */
  async ready(not?: number): Promise<number> {
    return await eventually(
      'another dummy-fused answers',
      async () => {
        using client = this.client()
        const daemon = await client.call(Fused.method.list).then(({ daemon: one }) => one, ignoreAbsence)
        return daemon?.pid === not ? undefined : daemon?.pid
      },
      30_000,
    )
  }

  /** SIGKILL; resolves to the process that was killed. */
  async kill(): Promise<number> {
    const pid = await this.another()
    process.kill(pid, 'SIGKILL')
    return pid
  }

  /** Has the next life end at a moment. */
  endNextLife({ call, of, nth }: Moment): void {
    const path = of === undefined ? '' : `-P ${of} `
    rmSync(`${this.#nextLife}.now`, { force: true })
    writeFileSync(this.#nextLife, `${path}-e trace=${call} -e inject=${call}:signal=KILL:when=${nth}\n`)
  }

  /** Whether the life that was to end at a moment has begun. */
  get armed(): boolean {
    return existsSync(`${this.#nextLife}.now`)
  }

  async inspect(path: string): Promise<InspectResponse> {
    return await eventually(
      `dummy-fused tells of ${path}`,
      async () => {
        using client = this.client()
        return await client.call(Fused.method.inspect, { path }).catch(ignoreAbsence)
      },
      30_000,
    )
  }

  async mount(path: string, faults: readonly string[] = [], options: readonly string[] = []): Promise<void> {
    mkdirSync(path, { recursive: true })
    using client = this.client()
    await client.call(Fused.method.mount, { path, faults: [...faults], options: [...options] })
  }

  async unmount(path: string): Promise<boolean> {
    using client = this.client()
    return (await client.call(Fused.method.unmount, { path })).wasMounted
  }

  client(): CsiClient {
    return new CsiClient(this.socket)
  }

  /** Puts another build, or a file of that content, in place by rename(2): what runs goes on. */
  replaceExecutable(content?: string): void {
    const copy = `${this.#program}.new`
    if (content === undefined) {
      copyFileSync(EXECUTABLE, copy)
      appendFileSync(copy, String(++this.#builds))
    } else writeFileSync(copy, content)
    chmodSync(copy, 0o755)
    renameSync(copy, this.#program)
  }

  /** Has what is in place take over. */
  async upgrade(): Promise<void> {
    const before = this.pid()
    this.keep.child.kill('SIGHUP')
    await this.ready(before)
  }

  /** How many sessions' descriptors keep and dummy-fused hold, and the records there are. keep closes what it lets go of in a thread: that is waited for. */
  async leftovers(): Promise<{ readonly stored: number; readonly devices: number; readonly records: readonly string[] }> {
    await eventually('keep holds none', () => devicesOf(this.keep.pid) === 0).catch(() => undefined)
    return {
      stored: devicesOf(this.keep.pid),
      devices: devicesOf(this.pid() ?? 0),
      records: readdirSync(join(this.stateDir, 'sessions')),
    }
  }
}

/** Each thread of a process: its state, who traces it, and the system call that it waits in (proc_pid_status(5), proc_pid_syscall(5)). */
function stateOf(pid: number): string {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      return String(error)
    }
  }
  return [String(pid), ...threadsOf(pid)]
    .map((thread) => {
      const own = `/proc/${pid}/task/${thread}`
      const status = read(`${own}/status`).match(/^(State|TracerPid):.*$/gm) ?? []
      return `${thread}: ${[...status, read(`${own}/syscall`).trim()].join(', ')}`
    })
    .join('\n')
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).filter((thread) => thread !== String(pid))
  } catch {
    return []
  }
}

export const NOTHING_KEPT = { stored: 0, devices: 0, records: [] }

function ignoreAbsence(error: unknown): undefined {
  if (error instanceof CallError && ['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(error.code)) return undefined
  throw error
}
