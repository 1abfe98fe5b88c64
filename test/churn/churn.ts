import { setTimeout as sleep } from 'node:timers/promises'
import { processEnds, type ProcessStat, processStat } from '../../src/os/processes.ts'
import { hasListener } from '../../src/os/unix-socket.ts'
import { readerProgram } from '../support/c-reader.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import { type Blow, churnPlan, type Victim } from './plan.ts'
import type { Site } from './site.ts'
import { type Mode, openSite } from './sites.ts'
import { Tally } from './tally.ts'
import { VolumeLife } from './volume-life.ts'

/** How much a churn is to do. */
export interface ChurnScale {
  readonly seed: number
  /** SIGKILLs. */
  readonly kills: number
  /** The longest pause between two signals, in milliseconds. */
  readonly pause: number
  readonly volumes: number
  /** Calls under way at the same time, at most. */
  readonly workers: number
  /** Milliseconds before a call is first repeated. */
  readonly backoff: number
}

/** Milliseconds in which all volumes come to rest after the last signal. */
const CALM = 120_000

/** Lives of one volume before the first signal. */
const CALM_LIVES = 10

/** Milliseconds for which the death of what held the sessions may still be felt. */
const AFTERMATH = 10_000

/** Milliseconds to wait for a process of the kind that a signal is for. */
const VICTIM_PATIENCE = 5000

/** `draining`: no volume is staged any more; `over`: nothing is called any more. */
type Phase = 'on' | 'draining' | 'over'

/** Milliseconds in which the kernel ends a process that got SIGKILL, on a busy machine. */
const LAST_BREATH = 20_000

/** Stages, publishes, reads, unpublishes and unstages volumes on one site while its processes are killed. */
export class Churn {
  readonly tally = new Tally()
  /** The calls before the first signal, one at a time. */
  readonly calm = new Tally()
  readonly #mode: Mode
  readonly #scale: ChurnScale
  /** When sessions were last lost with a process that was killed. */
  #lost = -Infinity
  #phase: Phase = 'on'

  constructor(mode: Mode, scale: ChurnScale) {
    this.#mode = mode
    this.#scale = scale
  }

  /** How far it has come, for people. */
  progress(): string {
    const { signals, calls, lives, findings } = this.tally
    const total = calls.reduce((sum, { count }) => sum + count, 0)
    const failed = calls.filter(({ code }) => code !== 'OK').reduce((sum, { count }) => sum + count, 0)
    const kills = [...signals].filter(([name]) => name.startsWith('kill')).reduce((sum, [, count]) => sum + count, 0)
    return `${this.#mode}: ${kills} of ${this.#scale.kills} kills, ${lives} lives, ${total} calls, ${failed} failed, ${findings.length} findings`
  }

  /** Runs it to its end; what went wrong is in {@link tally}. Rejects if it cannot go on. */
  async run(): Promise<void> {
    const { tally } = this
    await using sandbox = new Sandbox()
    // Readers that start together would compile it together.
    await readerProgram()
    const site = openSite(this.#mode, sandbox, (how) => tally.finding(how))
    await listening(site)
    const plan = churnPlan(this.#scale, site.shares)
    const excused = (since: number): boolean => this.#lost > since - AFTERMATH
    const around = { sandbox, site, tally, backoff: this.#scale.backoff, excused }
    await live(new VolumeLife('calm', { ...around, tally: this.calm }), this.calm)
    const volumes = Array.from({ length: this.#scale.volumes }, (_, at) => new VolumeLife(`volume-${at}`, around))
    const workers = Promise.all(workersOf(volumes, this.#scale.workers, () => this.#phase))
    try {
      await Promise.race([this.#unleash(site, plan), workers])
      this.#phase = 'draining'
      await Promise.race([workers, sleep(CALM, undefined, { ref: false })])
    } finally {
      this.#phase = 'over'
      await workers.catch(() => undefined)
    }
    for (const volume of volumes.filter(({ atRest }) => !atRest))
      tally.finding(`not at rest ${CALM / 1000} s after the last signal: ${volume.describe()}\n${site.log(volume.id)}`)
    for (const found of this.calm.findings) tally.finding(`before the first signal: ${found}`)
    for (const left of await site.leftovers()) tally.finding(`left: ${left}`)
    for (const left of await site.stop()) tally.finding(`left after the programs' end: ${left}`)
  }

  async #unleash(site: Site, plan: readonly Blow[]): Promise<void> {
    const pending: Promise<void>[] = []
    for (const blow of plan) {
      await sleep(blow.after)
      if (!blow.early) await listening(site)
      const { victim, stat } = await this.#victimOf(site, blow)
      this.tally.signal(`${blow.deed} ${victim}`)
      if (!site.survives(victim, blow.deed)) this.#lost = performance.now()
      if (blow.deed === 'freeze') pending.push(freeze(stat, blow.frozen))
      else signal(stat, blow.deed === 'kill' ? 'SIGKILL' : 'SIGTERM')
      if (blow.deed === 'kill') pending.push(this.#dies(victim, stat))
    }
    await Promise.all(pending)
  }

  async #dies(victim: Victim, stat: ProcessStat): Promise<void> {
    if (!(await processEnds(stat, LAST_BREATH))) this.tally.finding(`${victim} ${stat.pid} has not ended by SIGKILL`)
  }

  /** A process of the kind that a signal is for; where there is none, the plugin. */
  async #victimOf(site: Site, { victim, pick }: Blow): Promise<{ readonly victim: Victim; readonly stat: ProcessStat }> {
    const choose = (): ProcessStat | undefined => {
      const all = site.victims(victim)
      return all[Math.floor(pick * all.length)]
    }
    const stat = await eventually('there is one', choose, VICTIM_PATIENCE).catch(() => undefined)
    if (stat !== undefined) return { victim, stat }
    const instead = await eventually('there is a plugin', () => site.victims('plugin')[0])
    return { victim: 'plugin', stat: instead }
  }
}

/** Takes one volume through some lives while nothing is killed. Rejects if it cannot within {@link CALM}. */
async function live(volume: VolumeLife, tally: Tally): Promise<void> {
  const end = performance.now() + CALM
  while (tally.lives < CALM_LIVES) {
    if (performance.now() > end) throw new Error(`no ${CALM_LIVES} lives in calm: ${volume.describe()}`)
    await sleep(Math.max(volume.due - performance.now(), 0))
    await volume.advance()
  }
}

async function listening(site: Site): Promise<void> {
  try {
    await eventually('the plugin listens', async () => await hasListener(site.socket).catch(() => false), 30_000)
  } catch (error) {
    throw new Error(`the plugin does not listen; it said: ${site.log()}`, { cause: error })
  }
}

/** Signals a process if it is still the same one. */
function signal(stat: ProcessStat, name: NodeJS.Signals): void {
  if (processStat(stat.pid)?.start !== stat.start) return
  try {
    process.kill(stat.pid, name)
  } catch {
    // It ended in between.
  }
}

async function freeze(stat: ProcessStat, ms: number): Promise<void> {
  signal(stat, 'SIGSTOP')
  await sleep(ms)
  signal(stat, 'SIGCONT')
}

/** Each takes the next step of whatever volume is due, until all volumes rest while `draining`, or it is `over`. */
function workersOf(volumes: readonly VolumeLife[], count: number, phase: () => Phase): readonly Promise<void>[] {
  const queue = [...volumes]
  const busy = new Set<VolumeLife>()
  const next = (): VolumeLife | undefined => {
    const now = performance.now()
    const at = queue.findIndex((volume) => volume.due <= now && !(phase() === 'draining' && volume.atRest))
    return at === -1 ? undefined : queue.splice(at, 1)[0]
  }
  const rest = (): boolean => busy.size === 0 && queue.every(({ atRest }) => atRest)
  const over = (): boolean => phase() === 'over' || (phase() === 'draining' && rest())
  const work = async (): Promise<void> => {
    while (!over()) {
      const volume = next()
      if (volume === undefined) {
        await sleep(5)
        continue
      }
      busy.add(volume)
      try {
        await volume.advance()
      } finally {
        busy.delete(volume)
        queue.push(volume)
      }
    }
  }
  return Array.from({ length: count }, work)
}
