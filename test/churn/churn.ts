import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processEnds, type ProcessStat, processStat } from '../../src/os/processes/processes.ts'
import { hasListener } from '../../src/os/sockets/unix-socket.ts'
import { readerProgram } from '../support/c-reader.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import { NotifyInbox } from '../support/notify-inbox.ts'
import { Diary, type Effect } from './diary.ts'
import { type Blow, churnPlan, type Deed, type Victim } from './plan.ts'
import { PluginStatus } from './plugin-status.ts'
import type { HeardLine, Site } from './site.ts'
import { type Mode, openSite } from './sites.ts'
import { Tally } from './tally.ts'
import { type Surroundings, VolumeLife } from './volume-life.ts'
import { Watcher } from './watcher.ts'

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

/** A dummy-fused of all volumes serves. */
const FUSED_LISTENS = /Listening for connections on .*fused\.sock"/

/** Milliseconds in which a process that was stopped has done what was asked of it meanwhile. */
const THAWING = 1000

/** Stages, publishes, reads, unpublishes and unstages volumes on one site while its processes are killed. */
export class Churn {
  readonly tally = new Tally()
  /** The calls before the first signal, one at a time. */
  readonly calm = new Tally()
  /** The calls before the first signal, as many at a time as later. */
  readonly busy = new Tally()
  readonly #diary = new Diary()
  /** What notes that a dummy-fused of all volumes is back. */
  readonly #absent: (() => void)[] = []
  readonly #mode: Mode
  readonly #scale: ChurnScale
  /** When sessions were last lost with a process that was killed. */
  #lost = -Infinity
  /** When a keeper was last killed. */
  #unkept = -Infinity
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
    using inbox = new NotifyInbox(join(sandbox.path, 'notify'))
    const status = new PluginStatus(inbox)
    const listeners = [(line: HeardLine): void => status.hear(line), (line: HeardLine): void => this.#hear(line)]
    const site = openSite(this.#mode, sandbox, {
      failed: (how) => tally.finding(how),
      heard: (line) => {
        for (const listener of listeners) listener(line)
      },
      notifySocket: inbox.path,
    })
    await listening(site)
    const plan = churnPlan(this.#scale, site.shares)
    const excused = (since: number): boolean => this.#lost > since - AFTERMATH
    const unmounted = (since: number): boolean => this.#unkept > since - AFTERMATH
    const around = { sandbox, site, tally, diary: this.#diary, backoff: this.#scale.backoff, excused, unmounted }
    await live([new VolumeLife('calm', { ...around, tally: this.calm })], 1, CALM_LIVES, this.calm)
    const named = (others: Surroundings): VolumeLife[] =>
      Array.from({ length: this.#scale.volumes }, (_, at) => new VolumeLife(`volume-${at}`, others))
    const volumes = named(around)
    await using watcher = new Watcher({
      sandbox,
      site,
      volumes: volumes.map(({ places }) => places),
      diary: this.#diary,
      status,
      tally,
    })
    listeners.push((line) => watcher.hear(line))
    watcher.start()
    await live(named({ ...around, tally: this.busy }), this.#scale.workers, this.#scale.volumes, this.busy)
    const workers = Promise.all(workersOf(volumes, this.#scale.workers, () => this.#phase))
    try {
      await Promise.race([this.#unleash(site, plan, status), workers])
      this.#phase = 'draining'
      await Promise.race([workers, sleep(CALM, undefined, { ref: false })])
    } finally {
      this.#phase = 'over'
      await workers.catch(() => undefined)
    }
    for (const left of await watcher.stop()) tally.finding(`left: ${left}`)
    for (const volume of volumes.filter(({ atRest }) => !atRest))
      tally.finding(`not at rest ${CALM / 1000} s after the last signal: ${volume.describe()}\n${site.log(volume.id)}`)
    for (const found of [...this.calm.findings, ...this.busy.findings]) tally.finding(`before the first signal: ${found}`)
    // A dummy-fused that was killed, and that no call has needed since, leaves its records for the next one to remove.
    const after = new Tally()
    await live([new VolumeLife('calm', { ...around, tally: after })], 1, 1, after)
    for (const found of after.findings) tally.finding(`after the last signal: ${found}`)
    for (const left of await site.leftovers()) tally.finding(`left: ${left}`)
    for (const left of await site.stop()) tally.finding(`left after the programs' end: ${left}`)
  }

  #hear({ text }: HeardLine): void {
    if (FUSED_LISTENS.test(text)) for (const back of this.#absent.splice(0)) back()
  }

  async #unleash(site: Site, plan: readonly Blow[], status: PluginStatus): Promise<void> {
    const pending: Promise<void>[] = []
    for (const blow of plan) {
      await sleep(blow.after)
      if (!blow.early) await listening(site)
      const { victim, stat } = await this.#victimOf(site, blow)
      this.tally.signal(`${blow.deed} ${victim}`)
      if (!site.survives(victim, blow.deed)) this.#lost = performance.now()
      if (victim === 'keeper' && blow.deed === 'kill') this.#unkept = performance.now()
      const volume = site.volumeOf(victim, stat)
      const over = volume === undefined ? () => undefined : this.#diary.hit(volume, effectOf(victim, blow.deed))
      const isLost = blow.deed !== 'freeze' && (victim === 'keeper' || (victim === 'daemon' && site.daemons === 'shared'))
      if (isLost) this.#absent.push(this.#diary.restart())
      const effects = this.#strike(blow, victim, stat)
      const settled = effects.then(async () => await this.#settled(victim, stat, blow.deed, site, status)).then(over)
      // It is waited for at the end.
      settled.catch(() => undefined)
      pending.push(settled)
    }
    await Promise.all(pending)
  }

  /** Sends the signal, and resolves when the process has ended, or goes on. */
  async #strike({ deed, frozen }: Blow, victim: Victim, stat: ProcessStat): Promise<void> {
    if (deed === 'freeze') {
      await freeze(stat, frozen)
      return
    }
    signal(stat, deed === 'kill' ? 'SIGKILL' : 'SIGTERM')
    if (deed === 'kill') await this.#dies(victim, stat)
    else await processEnds(stat, LAST_BREATH)
  }

  /** Resolves when what a signal has set off is over: a plugin that starts restores its volumes, one that was stopped takes in what has come meanwhile. */
  async #settled(victim: Victim, { pid }: ProcessStat, deed: Deed, site: Site, status: PluginStatus): Promise<void> {
    if (deed === 'freeze') await sleep(THAWING)
    else if (victim === 'plugin') {
      const restored = (): boolean => this.#phase === 'over' || (site.pluginPid !== pid && status.restored(site.pluginPid))
      await eventually('the next plugin has restored its volumes', restored, CALM)
    }
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

/** Takes volumes through some lives in all, and then to rest, while nothing is killed. Rejects if it cannot within {@link CALM}. */
async function live(volumes: readonly VolumeLife[], workers: number, lives: number, tally: Tally): Promise<void> {
  const end = performance.now() + CALM
  const phase = (): Phase => (performance.now() > end ? 'over' : tally.lives < lives ? 'on' : 'draining')
  await Promise.all(workersOf(volumes, workers, phase))
  const tired = volumes.find(({ atRest }) => !atRest)
  if (tired !== undefined) throw new Error(`not ${lives} lives within ${CALM / 1000} s in calm: ${tired.describe()}`)
}

function effectOf(victim: Victim, deed: Deed): Effect {
  if (deed === 'freeze') return 'stopped'
  return victim === 'plugin' ? 'restoring' : 'gone'
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
