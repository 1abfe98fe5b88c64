import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../src/errors.ts'
import { Node } from '../../src/rpc/csi_pb.ts'
import { CallError, CsiClient, outcome } from '../support/csi-client.ts'
import { EXECUTABLE } from '../support/paths.ts'
import type { Sandbox } from '../support/sandbox.ts'
import type { Diary } from './diary.ts'
import {
  type Health,
  judgeBooks,
  judgeDead,
  judgeEnd,
  judgeHealth,
  judgeProcesses,
  judgeRestoring,
  judgeSessions,
  judgeSpares,
  judgeStats,
  judgeStatus,
  type StatusVolume,
  type Verdict,
  type VolumePlaces,
  type Window,
} from './judge.ts'
import type { PluginStatus } from './plugin-status.ts'
import { Records } from './records.ts'
import type { HeardLine, Site } from './site.ts'
import { Camera, type Snapshot } from './snapshot.ts'
import type { Tally } from './tally.ts'

/** Milliseconds between two questions of a kind. */
const PAUSES = { question: 100, status: 1500, list: 400, look: 300 } as const

/** Milliseconds that a question has. It is longer than a process is stopped. */
const ANSWER_DEADLINE = 8000

/** Milliseconds that `status` has: its process starts within seconds on a busy machine, and it may ask what is stopped. */
const STATUS_DEADLINE = 20_000

/**
 * Milliseconds for which a STATUS may be old: dummy-fused and the plugin tell of changes once a second, and each process on the way may be stopped for
 * 1.5 s, one after the other.
 */
const STATUS_AGE = 5000

/** keep's log has so many lines of STATUS in a period at most, in milliseconds; then they come late. */
const KEEP_LINES = { most: 8, period: 11_000 } as const

/** What a watcher needs of a churn. */
export interface WatcherParts {
  readonly sandbox: Sandbox
  readonly site: Site
  readonly volumes: readonly VolumePlaces[]
  readonly diary: Diary
  readonly status: PluginStatus
  readonly tally: Tally
}

/** A STATUS of dummy-fused in the log of its keep. */
interface SessionsLine {
  readonly at: number
  readonly pid: number
  readonly count: number
}

/**
 * Looks, while a churn goes on, whether all that is said of its volumes is true: NodeGetVolumeHealth, NodeGetVolumeStats, ListVolumes, `status --json`,
 * `ps`, the logs, STATUS and the mount cache, beside the mount table and the processes. It reads /proc, and asks over sockets with a deadline: it waits for no mount.
 */
export class Watcher implements AsyncDisposable {
  readonly #parts: WatcherParts
  readonly #camera: Camera
  readonly #records: Records
  readonly #found = new Set<string>()
  readonly #lines: HeardLine[] = []
  readonly #sessionLines: SessionsLine[] = []
  readonly #looks: Snapshot[] = []
  #running: Promise<void>[] = []
  #over = false
  #turn = 0

  constructor(parts: WatcherParts) {
    this.#parts = parts
    this.#camera = new Camera(parts.site.scene)
    this.#records = new Records(parts.site.socket)
  }

  /** Takes in a line of a program's log. */
  hear(line: HeardLine): void {
    if (this.#running.length > 0) this.#lines.push(line)
  }

  start(): void {
    const again = async (pause: number, act: () => Promise<void> | void): Promise<void> => {
      while (!this.#over) {
        await act()
        await sleep(pause)
      }
    }
    this.#running = [
      again(PAUSES.question, async () => {
        await this.#ask()
      }),
      again(PAUSES.status, async () => {
        await this.#askStatus()
      }),
      again(PAUSES.list, async () => {
        this.#note('ListVolumes', await this.#records.step())
      }),
      again(PAUSES.look, () => {
        this.#look()
      }),
    ]
    for (const one of this.#running) one.catch(() => undefined)
  }

  /** Ends it. Rejects if it could not go on; resolves to what it has left. */
  async stop(): Promise<readonly string[]> {
    this.#over = true
    await Promise.all(this.#running)
    return this.#running.length === 0 ? [] : await this.#records.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true
    await Promise.allSettled(this.#running)
  }

  /** Asks for one volume's health and figures. */
  async #ask(): Promise<void> {
    const { volumes, site } = this.#parts
    const places = volumes[this.#turn++ % volumes.length]
    if (places === undefined) return
    const before = this.#camera.take()
    using client = new CsiClient(site.socket)
    const health = await healthOf(client, places.id)
    this.#note('health', health === undefined ? undefined : judgeHealth(places, health, this.#window(before, this.#camera.take())))
    const request = { volumeId: places.id, volumePath: places.target }
    const { code } = await outcome(client.call(Node.method.nodeGetVolumeStats, request, ANSWER_DEADLINE))
    // The plugin asks a mount one question at a time: this answer may be that of a question which was under way before.
    this.#note('stats', judgeStats(places, code, this.#window(before, this.#camera.take())))
  }

  async #askStatus(): Promise<void> {
    const { sandbox, site, volumes, tally } = this.#parts
    const before = this.#camera.take()
    const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, ['status', '--json', ...site.statusWords], {
      timeout: STATUS_DEADLINE,
    })
    const window = this.#window(before, this.#camera.take())
    if (status !== 0) {
      const how = status === null ? `was killed after ${STATUS_DEADLINE / 1000} s` : `ended with ${status}`
      tally.finding(`dummy-fuse-csi status ${how}: ${stderr}`)
      return
    }
    const said = (JSON.parse(stdout) as { readonly volumes: readonly StatusVolume[] }).volumes
    for (const places of volumes) {
      const one = said.find(({ volumeId, stagingPath }) => volumeId === places.id && stagingPath === places.staging)
      this.#note('status', judgeStatus(places, one, window))
    }
  }

  /** Looks at what is said without a question: processes, books, logs and STATUS. */
  #look(): void {
    const { volumes, site } = this.#parts
    const now = this.#camera.take()
    const before = this.#looks.at(-1)
    const old = this.#looks.findLast(({ to }) => to <= now.from - STATUS_AGE)
    this.#looks.push(now)
    if (this.#looks.length > 2 * Math.ceil(STATUS_AGE / PAUSES.look)) this.#looks.shift()
    const lines = this.#lines.splice(0)
    if (before === undefined) return
    const window = this.#window(before, now)
    for (const places of volumes) {
      this.#note('ps', judgeProcesses(places, window))
      this.#note('mount cache', judgeBooks(places, window))
    }
    this.#note('ps', judgeSpares(window))
    for (const line of lines) this.#judgeLine(line, window)
    if (old === undefined) return
    this.#judgeSessions(this.#window(old, now))
    const statement = this.#parts.status.statement(site.pluginPid, now.from - STATUS_AGE)
    if (statement !== undefined) this.#note('STATUS', judgeRestoring(statement.left, statement.known))
  }

  #judgeLine({ program, pid, text, at }: HeardLine, window: Window): void {
    const { diary, volumes } = this.#parts
    if (program === 'plugin') {
      const [, ended] = /dummy-fuse\[(\d+)\] of \S+ ended: /.exec(text) ?? []
      if (ended !== undefined) this.#note('log', judgeEnd(Number(ended), window))
      const [, dead] = / umount (\S+) \(dead\)$/.exec(text) ?? []
      const places = volumes.find(({ staging, target }) => staging === dead || target === dead)
      if (dead !== undefined && places !== undefined) {
        // The call that has found it dead may have ended since.
        const mounted = diary.lastSuccess(places.id, at - ANSWER_DEADLINE) ?? -Infinity
        this.#note('log', judgeDead(dead, diary.hitSince(places.id, mounted)))
      }
    }
    const [, fused, count] = /dummy-fused\[(\d+)\]: Serving (\d+) sessions? on /.exec(text) ?? []
    if (program === 'keep' && count !== undefined) this.#sessionLines.push({ at, pid: Number(fused ?? pid), count: Number(count) })
  }

  /** What dummy-fused has said last, if it still runs and has said it for long enough, and if keep's log does not lag behind. */
  #judgeSessions(window: Window): void {
    const { from } = window.after
    while ((this.#sessionLines[0]?.at ?? Infinity) < from - KEEP_LINES.period && this.#sessionLines.length > 1)
      this.#sessionLines.shift()
    const last = this.#sessionLines.at(-1)
    if (last === undefined || this.#sessionLines.length > KEEP_LINES.most || last.at > window.before.from) return
    const runs = window.before.processes.some(({ pid, stopped }) => pid === last.pid && !stopped)
    if (runs && window.after.processes.some(({ pid }) => pid === last.pid))
      this.#note('STATUS', judgeSessions(last.count, this.#parts.volumes, window))
  }

  #window(before: Snapshot, after: Snapshot): Window {
    const { diary, site } = this.#parts
    return {
      before,
      after,
      touched: (volumeId) => diary.touched(volumeId, before.from, after.to),
      unsettled: (volumeId) => diary.unsettled(volumeId),
      daemons: site.daemons,
    }
  }

  #note(kind: string, verdict: Verdict): void {
    const { tally, site } = this.#parts
    tally.statement(kind, verdict !== undefined)
    for (const lie of verdict ?? []) {
      // It is said again at each look until somebody changes the volume.
      if (this.#found.has(lie)) continue
      this.#found.add(lie)
      const [volume = ''] = /volume-\d+/.exec(lie) ?? []
      tally.finding(`a lie: ${lie}\n${site.log(volume)}`)
    }
  }
}

/** Undefined where the answer states nothing about the volume. */
async function healthOf(client: CsiClient, volumeId: string): Promise<Health | undefined> {
  try {
    const { volumeHealth } = await client.call(Node.method.nodeGetVolumeHealth, { volumeId }, ANSWER_DEADLINE)
    return { reasons: (volumeHealth?.healthStatuses ?? []).map(({ reason }) => reason) }
  } catch (error) {
    if (error instanceof CallError) return { code: error.code }
    throw new Error(`NodeGetVolumeHealth of ${volumeId}: ${messageOf(error)}`, { cause: error })
  }
}
