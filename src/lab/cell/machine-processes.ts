import { processIds, type ProcessStat, processStat } from '../../os/processes/processes.ts'
import { run } from '../../os/processes/run.ts'
import { until } from '../wait.ts'
import { killAll, signalAll } from './node-processes.ts'

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
    if (units.length > 0) await systemctl('stop', '--no-block', ...units)
    await until('the processes of the node are gone', async () => {
      const others = this.#others()
      await killAll(others)
      return others.length === 0
    })
    if (units.length === 0) return
    await until(`systemd has stopped ${units.join(', ')}`, async () => (await active(units)).length === 0)
    await systemctl('reset-failed', ...(await allUnits()).filter((unit) => units.includes(unit)))
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
  return namesIn(await systemctl('list-units', '--all', '--plain', '--no-legend', `--type=${TYPES}`))
}

/** Those that are not inactive yet, and those in which systemd does something. */
async function active(units: readonly string[]): Promise<readonly string[]> {
  const all = await systemctl('list-units', '--plain', '--no-legend', '--state=active,activating,deactivating,reloading', ...units)
  return namesIn(all)
}

function namesIn(lines: string): readonly string[] {
  return lines.split('\n').flatMap((line) => /^(\S+)\s/.exec(line)?.[1] ?? [])
}

async function systemctl(...args: readonly string[]): Promise<string> {
  return (await run('systemctl', args, DEADLINE)).stdout
}
