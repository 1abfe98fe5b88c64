import { existsSync, mkdtempSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { messageOf } from '../errors.ts'
import { childrenOf } from '../os/processes/child-processes.ts'
import { ChildProgram } from '../os/processes/child-program.ts'
import { pidNamespace, sendSignal } from '../os/processes/processes.ts'
import { run } from '../os/processes/run.ts'
import { removeEmpty } from './empty-folders.ts'
import type { Network } from './driver/spec.ts'
import { bootAllCommand, bootCommand, holdAllCommand, holdCommand, quiet, strip, systemdBelow } from './nspawn.ts'
import { CGROUPS } from './node-paths.ts'
import { PLACE } from './own-root.ts'
import { until } from './wait.ts'

/** What the machine's folder and cgroup are called; the lab's process namespace and its id in that come next. */
const PREFIX = 'dummy-fuse-lab-machine-'

/** Milliseconds for a boot on a loaded machine. */
const BOOT_DEADLINE = 60_000

/**
 * A machine of the lab's own that a real systemd runs, in systemd-nspawn: this machine's files with changes of its own over them, no
 * network but a loopback, and /dev/fuse. It is gone with everything in it when it is disposed of, and when the lab is killed, but
 * then for an empty folder and an empty cgroup, which the next one removes.
 */
export class Machine implements AsyncDisposable {
  /** Put before a command, it is carried out in the machine. */
  readonly enter: readonly string[]
  readonly #folder: string
  readonly #holding: ChildProgram
  readonly #holder: number

  private constructor(folder: string, holding: ChildProgram, holder: number, systemd: number) {
    this.#folder = folder
    this.#holding = holding
    this.#holder = holder
    this.enter = ['nsenter', '--target', String(systemd), '--all', '--']
  }

  /** Boots one. `programs`: files that are to be had inside at their own paths. Throws an Error that says what is missing. */
  static async boot(parent: string, programs: readonly string[]): Promise<Machine> {
    const bindings = Object.fromEntries(programs.map((path) => [path, path]))
    return await Machine.#boot(parent, (folder) => {
      const place = { folder, cgroup: basename(folder) }
      return { folder, prepare: strip, hold: holdCommand(place), boot: (holder) => bootCommand(place, holder, bindings) }
    })
  }

  /** Boots one that has the files of all file systems of this machine, and tells what is written (own-root.ts). Throws an Error that says what is missing. */
  static async bootForDriver(parent: string, network: Network): Promise<Machine> {
    return await Machine.#boot(parent, (folder) => {
      const cgroup = basename(folder)
      const prepare = (root: string): void => {
        strip(root)
        quiet(root)
      }
      return { folder: PLACE, prepare, hold: holdAllCommand(cgroup), boot: (holder) => bootAllCommand(cgroup, holder, network) }
    })
  }

  static async #boot(parent: string, commandsFor: (folder: string) => Commands): Promise<Machine> {
    sweep(parent)
    const folder = mkdtempSync(join(parent, `${PREFIX}${pidNamespace()}-${process.pid}-`))
    const commands = commandsFor(folder)
    const [file, ...args] = commands.hold
    const holding = new ChildProgram({ file, args, stdio: 'pipe', detached: true })
    const held = outputOf(holding)
    let holder: number | undefined
    try {
      await until('namespaces for a machine', () => held.text().includes('ready') || held.ended())
      ;[holder] = childrenOf(holding.pid)
      if (holder === undefined || held.ended()) throw new Error(`cannot make namespaces for a machine: ${held.text()}`)
      commands.prepare(join(`/proc/${holder}/root`, commands.folder, 'root'))
      const systemd = await start(commands.boot(holder))
      const machine = new Machine(folder, holding, holder, systemd)
      await until('systemd has started everything', () => machine.#isUp(), BOOT_DEADLINE)
      return machine
    } catch (error) {
      await end(folder, holding, holder)
      throw error
    }
  }

  /** systemd's version: `252`. */
  async version(): Promise<string> {
    return await systemdVersion(this.enter)
  }

  async #isUp(): Promise<boolean> {
    const { stdout } = await run('nsenter', [...this.enter.slice(1), 'systemctl', 'is-system-running'], 10_000)
    return /^(running|degraded)/.test(stdout)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#folder, this.#holding, this.#holder)
  }
}

/** systemd's version: `252`. `enter`: what comes before a command to have it carried out where that is. */
export async function systemdVersion(enter: readonly string[] = []): Promise<string> {
  const [file, ...args] = [...enter, 'systemctl', '--version'] as const
  const { stdout } = await run(file, args, 10_000)
  return /^systemd (\d+)/.exec(stdout)?.[1] ?? '?'
}

/** Removes what labs that were killed have left: folders and cgroups that carry the id of a process that is no more. */
function sweep(parent: string): void {
  for (const folder of [parent, ...cgroupRoots()]) {
    for (const name of readdirSync(folder)) {
      const [, namespace, pid] = new RegExp(`^${PREFIX}(\\d+)-(\\d+)-`).exec(name) ?? []
      if (pid === undefined || namespace !== pidNamespace() || existsSync(`/proc/${pid}`)) continue
      removeEmpty(join(folder, name))
    }
  }
}

function cgroupRoots(): readonly string[] {
  return [CGROUPS, join(CGROUPS, 'unified')].filter((path) => existsSync(join(path, 'cgroup.procs')))
}

/** By what a machine is made. */
interface Commands {
  /** Its `root` is the machine's, in its namespaces. */
  readonly folder: string
  /** Makes its root ready to boot. */
  readonly prepare: (root: string) => void
  readonly hold: readonly [string, ...string[]]
  /** `holder`: the process that holds the namespaces. */
  readonly boot: (holder: number) => readonly [string, ...string[]]
}

async function start([file, ...args]: readonly [string, ...string[]]): Promise<number> {
  const child = new ChildProgram({ file, args, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const said = outputOf(child)
  return await until(
    'systemd starts',
    () => {
      if (said.ended())
        throw new Error(`systemd-nspawn cannot boot a machine: ${said.text().trim().split('\n').slice(-3).join(' ')}`)
      return systemdBelow(child.pid)
    },
    BOOT_DEADLINE,
  )
}

/** Kills the first process of the namespace, and with it all others; then nothing holds the cgroups and the folder any more. */
async function end(folder: string, holding: ChildProgram, holder: number | undefined): Promise<void> {
  if (holder !== undefined) sendSignal(holder, 'SIGKILL')
  else holding.kill()
  await holding.closed.catch(() => undefined)
  await until('the cgroups of the machine are empty', () => removeEmpty(folder) && removeCgroups(basename(folder))).catch(
    (error: unknown) => {
      throw new Error(`the machine left something behind: ${messageOf(error)}`, { cause: error })
    },
  )
}

function removeCgroups(name: string): boolean {
  return cgroupRoots().every((root) => removeEmpty(join(root, name)))
}

function outputOf(child: ChildProgram): { text: () => string; ended: () => boolean } {
  let text = ''
  let ended = false
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (more: string) => (text = (text + more).slice(-10_000)))
  child.ended
    .catch((error: unknown) => {
      text += messageOf(error)
    })
    .finally(() => (ended = true))
  return { text: () => text, ended: () => ended }
}
