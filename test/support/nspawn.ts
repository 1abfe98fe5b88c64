import { mkdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { removeEmpty } from '../../src/lab/empty-folders.ts'
import { bootCommand, holdCommand, type MachinePlace, strip, systemdBelow } from '../../src/lab/nspawn.ts'
import { childrenOf } from './kept.ts'
import { ROOT } from './paths.ts'
import { type Result, type Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** What a machine is to be like. */
export interface MachineOptions {
  /** Programs and files of this host that are to be had inside, read-only: `{ '/inside': '/outside' }`. */
  readonly bindings?: Readonly<Record<string, string>>
}

/** How a command is run inside. */
export interface CommandOptions {
  /** Milliseconds, after which the command is killed. 60 s if not given. */
  readonly timeout?: number
  readonly input?: string
}

/** Where the checkout is to be seen inside a machine, read-only. */
export const CHECKOUT_INSIDE = '/srv/checkout'

/** Milliseconds that a busy machine may take to start or to stop everything in it. */
const POWER_LIMIT = 120_000

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * A machine that a real systemd runs, in systemd-nspawn: the host's files with changes of its own over them, which last from one boot
 * to the next; nothing but a loopback network; /dev/fuse; no unit of the host's /etc. `await using` it: at its end, also of a failing
 * test, everything in it is killed, and no mount, cgroup or file is left. (After a test that was killed itself: an empty cgroup and
 * folder.)
 *
 *     await using machine = await Machine.create()
 *     writeFileSync(join(machine.root, 'etc/systemd/system/x.service'), …)
 *     await machine.boot()
 *     await machine.systemctl('start', 'x.service')
 */
export class Machine implements AsyncDisposable {
  /** Its root directory, to be read and changed from outside at any time, but for what it mounts inside (/run, /tmp, /proc, /sys). */
  readonly root: string
  readonly #sandbox: Sandbox
  readonly #place: MachinePlace
  /** The process whose mount and pid namespaces hold the machine; when it ends, all ends. */
  readonly #holder: number
  readonly #bindings: Readonly<Record<string, string>>
  #nspawn: Running | undefined
  #systemd: number | undefined

  private constructor(sandbox: Sandbox, holder: number, place: MachinePlace, options: MachineOptions) {
    this.#sandbox = sandbox
    this.#holder = holder
    this.#place = place
    this.#bindings = { [CHECKOUT_INSIDE]: ROOT, ...options.bindings }
    this.root = join(`/proc/${holder}/root`, sandbox.path, 'root')
  }

  /** A machine that is still off: files can be put below its `root`. Needs root and Debian's package systemd-container. */
  static async create(options: MachineOptions = {}): Promise<Machine> {
    const sandbox = new Sandbox()
    try {
      const place = { folder: sandbox.path, cgroup: basename(sandbox.path) }
      const [file, ...args] = holdCommand(place)
      const held = sandbox.start(file, args)
      await eventually(`namespaces for a machine: ${held.output()}`, () => {
        if (held.child.exitCode !== null) throw new Error(`cannot make namespaces for a machine: ${held.output()}`)
        return held.output().includes('ready')
      })
      const [holder] = childrenOf(held.pid)
      if (holder === undefined) throw new Error('the process that holds the namespaces has ended')
      const machine = new Machine(sandbox, holder, place, options)
      machine.#strip()
      return machine
    } catch (error) {
      await sandbox[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Takes the host's own units, journal and installed dummy-fuse-csi away, and what costs time at boot. */
  #strip(): void {
    const installed = ['dummy-fuse-csi', 'dummy-fuse', 'dummy-fused', 'dummy-fuse-workload'].map((name) => `usr/local/bin/${name}`)
    for (const path of [...installed, 'etc/default/dummy-fuse-csi', 'var/lib/dummy-fuse-csi']) {
      rmSync(join(this.root, path), { recursive: true, force: true })
    }
    strip(this.root)
    // The journal of one boot is to be read in the next.
    mkdirSync(join(this.root, 'var/log/journal'), { recursive: true })
  }

  /** Starts it and waits until systemd has started everything. A unit that failed is not an error here. */
  async boot(): Promise<void> {
    if (this.#nspawn !== undefined) throw new Error('the machine is on already')
    const [file, ...args] = bootCommand(this.#place, this.#holder, this.#bindings)
    const nspawn = this.#sandbox.start(file, args, { env: { PATH }, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#nspawn = nspawn
    this.#systemd = await eventually(`systemd has started: ${nspawn.output()}`, () => {
      if (nspawn.child.exitCode !== null) throw new Error(`systemd-nspawn has ended: ${nspawn.output()}`)
      return systemdBelow(nspawn.pid)
    })
    let state = ''
    await eventually(
      'systemd has started everything',
      async () => {
        state = (await this.run('systemctl', ['is-system-running', '--wait'])).stdout.trim()
        return state === 'running' || state === 'degraded'
      },
      POWER_LIMIT,
    )
  }

  /** Stops it as `poweroff` does: units are stopped in order. */
  async shutDown(): Promise<void> {
    const [pid] = childrenOf(this.#on().pid)
    if (pid !== undefined) process.kill(pid, 'SIGTERM')
    await this.#off()
  }

  /** Stops it as a power cut does: everything in it is gone at once. */
  async cutPower(): Promise<void> {
    process.kill(this.systemd, 'SIGKILL')
    await this.#off()
  }

  /** {@link shutDown}, then {@link boot}: its files stay, its mounts, processes, /run and /tmp do not, and the boot id is another. */
  async reboot(): Promise<void> {
    await this.shutDown()
    await this.boot()
  }

  /** Runs a program inside, as root, to its end. */
  async run(file: string, args: readonly string[] = [], options: CommandOptions = {}): Promise<Result> {
    const env = { PATH, HOME: '/root', LANG: 'C.UTF-8', TERM: 'dumb' }
    return await this.#sandbox.run('nsenter', ['--target', String(this.systemd), '--all', '--', file, ...args], {
      timeout: 60_000,
      env,
      ...options,
    })
  }

  /** Runs a program inside and returns its standard output without the last line feed. Throws if it fails, with all it said. */
  async output(file: string, args: readonly string[] = [], options: CommandOptions = {}): Promise<string> {
    const { status, signal, stdout, stderr } = await this.run(file, args, options)
    if (status === 0) return stdout.trimEnd()
    throw new Error(`${[file, ...args].join(' ')} ended with ${status ?? signal ?? '?'}: ${stderr}${stdout}`)
  }

  /** Runs a program of the host's, outside, to its end: what is to act on {@link root}. */
  async host(file: string, args: readonly string[] = []): Promise<Result> {
    return await this.#sandbox.run(file, args)
  }

  /** Runs systemctl inside and returns what it printed. Throws if it fails. */
  async systemctl(...args: readonly string[]): Promise<string> {
    return await this.output('systemctl', args)
  }

  /** One property of a unit (`ActiveState`, `MainPID`, `NRestarts`), as `systemctl show` prints its value. */
  async property(unit: string, name: string): Promise<string> {
    return await this.systemctl('show', '--property', name, '--value', unit)
  }

  /** The messages of units since the last boot, those about them included, in a format of `journalctl --output`. */
  async journal(units: string | readonly string[], format = 'cat'): Promise<string> {
    // journald reads what units print some time after they print it. This waits until it has read all of it.
    await this.output('journalctl', ['--sync'])
    const of = [units].flat().flatMap((unit) => ['--unit', unit])
    return await this.output('journalctl', ['--no-pager', '--output', format, '--boot', ...of])
  }

  /** Process ids, as they are inside, of those that `ps -o comm` shows under a name, without those that have a word among their arguments. */
  async processes(comm: string, except?: string): Promise<number[]> {
    const { stdout } = await this.run('ps', ['-e', '-ww', '-o', 'pid=,stat=,comm=,args='])
    const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/))
    return rows
      .filter(
        ([, state, name, ...args]) =>
          name === comm && state?.startsWith('Z') === false && (except === undefined || !args.includes(except)),
      )
      .map(([pid]) => Number(pid))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#nspawn !== undefined) {
        // Before its systemd is up, and after it has gone, there is only systemd-nspawn to kill.
        for (const pid of childrenOf(this.#nspawn.pid).flatMap((pid) => [...childrenOf(pid), pid])) killNow(pid)
        await this.#off()
      }
      await eventually('the cgroups of the machine are empty', () => removeEmpty(this.#cgroupFolder()))
    } finally {
      killNow(this.#holder)
      await this.#sandbox[Symbol.asyncDispose]()
    }
  }

  async #off(): Promise<void> {
    const nspawn = this.#on()
    let ended = false
    void nspawn.ended.then(() => (ended = true))
    await eventually(`the machine is off: ${nspawn.output()}`, () => ended, POWER_LIMIT)
    this.#nspawn = undefined
    this.#systemd = undefined
  }

  /** Its systemd, by its id outside. */
  get systemd(): number {
    if (this.#systemd === undefined) throw new Error('the machine is off')
    return this.#systemd
  }

  #on(): Running {
    if (this.#nspawn === undefined) throw new Error('the machine is off')
    return this.#nspawn
  }

  #cgroupFolder(): string {
    return join(`/proc/${this.#holder}/root/sys/fs/cgroup`, this.#place.cgroup)
  }
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}
