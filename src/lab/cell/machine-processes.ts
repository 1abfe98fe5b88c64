import { processIds, type ProcessStat, processStat } from '../../os/processes/processes.ts'
import { run } from '../../os/processes/run.ts'
import { until } from '../wait.ts'
import { killUntilNone, signalAll } from './node-processes.ts'

/** Milliseconds for one call of systemctl. */
const DEADLINE = 20_000

/** Units that start processes, or that start such units. */
const TYPES = 'service,scope,socket,path,timer'

/** The processes and units of a node that a systemd runs, as far as they have come since this was made: those of a driver. */
export class MachineProcesses {
  readonly #processes: readonly ProcessStat[]
  readonly #units: Promise<readonly string[]>

  /** Made before anything of a driver runs. */
  constructor() {
    this.#processes = allProcesses()
    this.#units = allUnits()
    this.#units.catch(() => undefined)
  }

  /** Ends them as a power cut does: none of them has a moment to end in order, and systemd starts none again. Rejects with an Error that names what stays. */
  async end(): Promise<void> {
    const before = await this.#units
    const units = (await allUnits()).filter((unit) => !before.includes(unit))
    signalAll(this.#others(), 'SIGSTOP')
    // One that has ended by itself meanwhile is no error.
    if (units.length > 0) await run('systemctl', ['stop', '--no-block', ...units], DEADLINE)
    await killUntilNone(() => this.#others())
    if (units.length === 0) return
    await until(`systemd has stopped ${units.join(', ')}`, async () => (await active(units)).length === 0)
    await run('systemctl', ['reset-failed', ...units], DEADLINE)
  }

  /** The lab's own are older, or its children. */
  #others(): readonly number[] {
    const isOld = ({ pid, start }: ProcessStat): boolean => this.#processes.some((one) => one.pid === pid && one.start === start)
    return allProcesses()
      .filter((one) => !isOld(one))
      .map(({ pid }) => pid)
  }
}

function allProcesses(): readonly ProcessStat[] {
  return processIds().flatMap((pid) => processStat(pid) ?? [])
}

async function allUnits(): Promise<readonly string[]> {
  return await listed('--all', `--type=${TYPES}`)
}

/** Those that are not inactive yet, and those in which systemd does something. */
async function active(units: readonly string[]): Promise<readonly string[]> {
  return await listed('--state=active,activating,deactivating,reloading', ...units)
}

/** The names of units. Rejects with an Error if systemd does not tell. */
async function listed(...args: readonly string[]): Promise<readonly string[]> {
  const { status, stdout, stderr } = await run('systemctl', ['list-units', '--plain', '--no-legend', ...args], DEADLINE)
  if (status !== 0) throw new Error(`systemd does not list the units of the node: ${stderr.trim() || `exit status ${status}`}`)
  return stdout.split('\n').flatMap((line) => /^(\S+)\s/.exec(line)?.[1] ?? [])
}
