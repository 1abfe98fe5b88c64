import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { codeOf } from '../../src/errors.ts'
import type { Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

const V1 = '/sys/fs/cgroup/memory'
const V2 = '/sys/fs/cgroup'
/** Files of the two versions of cgroups (cgroup-v2.rst and cgroup-v1/memory.rst of the kernel's Documentation/admin-guide). */
const FILES = {
  v1: { limit: 'memory.limit_in_bytes', none: '-1', swap: ['memory.swappiness', '0'], events: 'memory.oom_control' },
  v2: { limit: 'memory.max', none: 'max', swap: ['memory.swap.max', '0'], events: 'memory.events' },
} as const

/** Why no memory cgroup can be made here; undefined where one can. */
export function noMemoryCgroup(): string | undefined {
  try {
    accessSync(existsSync(V1) ? V1 : join(V2, 'cgroup.subtree_control'), constants.W_OK)
  } catch (error) {
    return `cgroups cannot be made here: ${codeOf(error)}`
  }
  if (!existsSync(V1) && !readFileSync(join(V2, 'cgroup.subtree_control'), 'utf8').split(/\s/).includes('memory'))
    return `${V2}/cgroup.subtree_control does not have memory`
  return undefined
}

/** A cgroup with a limit of memory, whose processes the OOM killer takes. At the end they are killed, and the cgroup is removed. */
export class MemoryCgroup implements AsyncDisposable {
  readonly #path: string
  readonly #files: (typeof FILES)['v1' | 'v2']

  /** The name is the sandbox's, of which each can have one. */
  constructor(sandbox: Sandbox) {
    const version = existsSync(V1) ? 'v1' : 'v2'
    this.#files = FILES[version]
    this.#path = join(version === 'v1' ? V1 : V2, basename(sandbox.path))
    mkdirSync(this.#path)
    const [swap, none] = this.#files.swap
    if (existsSync(join(this.#path, swap))) this.#write(swap, none)
  }

  /** Words of a program that executes another one in the cgroup. */
  get by(): readonly string[] {
    return ['/bin/sh', '-c', 'echo $$ >"$0" && exec "$@"', join(this.#path, 'cgroup.procs')]
  }

  /** Moves a process here, unless it is gone. What it has already is not counted. */
  add(pid: number): void {
    try {
      this.#write('cgroup.procs', String(pid))
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') throw error
    }
  }

  /** Sets the limit, in bytes, or takes it away. */
  limit(bytes: number | undefined): void {
    this.#write(this.#files.limit, bytes === undefined ? this.#files.none : String(bytes))
  }

  /** How many processes the OOM killer has taken here. */
  get kills(): number {
    return Number(/^oom_kill (\d+)$/m.exec(this.#read(this.#files.events))?.[1])
  }

  /** Resolves once it has taken so many. */
  async killed(count: number): Promise<void> {
    await eventually(`the OOM killer takes ${count}`, () => this.kills >= count)
  }

  /** Processes that are here. */
  processes(): number[] {
    return this.#read('cgroup.procs').split('\n').filter(Boolean).map(Number)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await eventually('the cgroup is empty', () => {
      const left = this.processes()
      // 0 is a process that our process namespace does not have.
      for (const pid of left) if (pid > 0) kill(pid)
      return left.length === 0
    })
    await eventually('the cgroup is removed', () => this.#removed())
  }

  /** A process that has just ended keeps it for a moment. */
  #removed(): boolean {
    try {
      rmdirSync(this.#path)
      return true
    } catch (error) {
      if (codeOf(error) === 'EBUSY') return false
      throw error
    }
  }

  #read(file: string): string {
    return readFileSync(join(this.#path, file), 'utf8')
  }

  #write(file: string, value: string): void {
    writeFileSync(join(this.#path, file), value)
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error
  }
}
