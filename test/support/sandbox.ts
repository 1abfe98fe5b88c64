import { type ChildProcess, spawn, type SpawnOptions, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isFuseDevice } from '../../src/os/mounts/fuse-connections.ts'
import { parseMountinfo } from '../../src/os/mounts/mountinfo.ts'
import { allShields } from '../../src/shield/control-folder.ts'
import { eventually } from './wait.ts'

/** How a program that was run to its end came out. */
export interface Result {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A program that was started and goes on. `output` is all it has written to both its streams so far. */
export interface Running {
  readonly pid: number
  readonly child: ChildProcess
  output(): string
  /** Resolves when it has ended and all its output is in. */
  readonly ended: Promise<Result>
}

/**
 * A temporary folder and everything a test starts or mounts in it. `await using` it: at the end, also of a failing test, each process
 * it started is killed, so is each process of ours that names the folder in its arguments (daemons), all below the folder is
 * unmounted, and the folder removed, with those that shields below it have left in /run.
 */
export class Sandbox implements AsyncDisposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'dummy-fuse-test-'))
  readonly #running = new Set<Running>()

  /** Makes a directory below the sandbox, with its parents, and returns its path. */
  directory(...names: string[]): string {
    const path = join(this.path, ...names)
    mkdirSync(path, { recursive: true })
    return path
  }

  /** Runs a program to its end; SIGKILL after `timeout` milliseconds. */
  async run(
    file: string,
    args: readonly string[],
    options: SpawnOptions & { timeout?: number; input?: string } = {},
  ): Promise<Result> {
    const running = this.start(file, args, options)
    if (options.input !== undefined) running.child.stdin?.end(options.input)
    else running.child.stdin?.end()
    const timer = setTimeout(() => running.child.kill('SIGKILL'), options.timeout ?? 30_000)
    try {
      return await running.ended
    } finally {
      clearTimeout(timer)
    }
  }

  /** Starts a program that is to go on; it is killed at the sandbox's end. */
  start(file: string, args: readonly string[], options: SpawnOptions = {}): Running {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
    let stdout = ''
    let stderr = ''
    let both = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => ((stdout += text), (both += text)))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => ((stderr += text), (both += text)))
    child.stdin?.on('error', () => undefined)
    const ended = new Promise<Result>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (status, signal) => {
        this.#running.delete(running)
        resolve({ status, signal, stdout, stderr })
      })
    })
    ended.catch(() => undefined)
    const running: Running = { pid: child.pid ?? -1, child, output: () => both, ended }
    this.#running.add(running)
    return running
  }

  /** Ids of processes, zombies apart, that have the sandbox's path in their arguments, by their `comm` if one is given. */
  processes(comm?: string): number[] {
    return processesNaming(this.path).filter((pid) => comm === undefined || commOf(pid) === comm)
  }

  /** Mount points below the sandbox in this mount namespace, the deepest first. */
  mounts(): string[] {
    return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => path.startsWith(`${this.path}/`) || path === this.path)
      .reverse()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#running) child.kill('SIGKILL')
    this.#killAll()
    this.#unmountAll()
    // One that was killed may have started another just before, or be in the middle of a mount(2), which then comes to its end.
    await eventually(`the sandbox's processes are gone: ${this.processes().join(' ')}`, () => this.#killAll() === 0)
    this.#unmountAll()
    if (this.mounts().length > 0) throw new Error(`still mounted: ${this.mounts().join(' ')}`)
    for (const { folder, record } of allShields())
      if (record.mountpoint.startsWith(`${this.path}/`)) rmSync(folder, { recursive: true, force: true })
    rmSync(this.path, { recursive: true, force: true })
  }

  /** Tells how many there were. */
  #killAll(): number {
    const left = this.processes()
    for (const pid of left) kill(pid)
    return left.length
  }

  #unmountAll(): void {
    for (const path of this.mounts()) spawnSync('umount', ['-l', path])
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

function processesNaming(path: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && argumentsOf(pid).some((word) => word.includes(path)))
}

/** A process's arguments; none for one that is gone or a zombie. */
export function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return []
  }
}

/** A process's name as `ps -o comm` shows it. */
export function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
  } catch {
    return ''
  }
}

/** A process's descriptor: what it points to, and what proc_pid_fdinfo(5) says of it. */
export interface DescriptorInfo {
  readonly fd: number
  readonly target: string
  readonly info: string
}

/** A process's descriptors; it may be closing some meanwhile. Throws if there is no such process. */
export function descriptorsOf(pid: number): readonly DescriptorInfo[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      const info = readFileSync(`/proc/${pid}/fdinfo/${name}`, 'utf8')
      return [{ fd: Number(name), target: readlinkSync(`/proc/${pid}/fd/${name}`), info }]
    } catch {
      // It was closed in between.
      return []
    }
  })
}

/** How many descriptors of /dev/fuse a process holds. */
export function devicesOf(pid: number): number {
  return descriptorsOf(pid).filter(({ target }) => isFuseDevice(target)).length
}
