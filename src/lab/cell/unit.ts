import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { LineCutter } from '../../line-cutter.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { run } from '../../os/processes/run.ts'
import type { Command } from '../command.ts'
import { SHELL } from '../namespaces.ts'
import { KUBELET } from '../node-paths.ts'
import { until } from '../wait.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds for one call of systemctl. */
const DEADLINE = 20_000

/** Milliseconds between two looks into the log. */
const TAIL = 50

/** Sends the output to a file of the private node: systemd opens files in its own mount namespace. */
const START = 'exec >>"$1" 2>&1; shift; exec -a "$0" "$@"'

/**
 * A transient service of systemd's whose process is in the private node's mount namespace. It is started again whenever it ends, at once.
 */
export class Unit implements Disposable {
  readonly name: string
  readonly #slice: string
  readonly #lane: string
  readonly #timeline: Timeline
  readonly #log: string
  #tail: NodeJS.Timeout | undefined
  #read = 0
  readonly #lines = new LineCutter()

  /** `slice`: the name, without `.slice`, of the one that the cell has to itself. `lane`: of its log. */
  constructor(slice: string, lane: string, timeline: Timeline) {
    this.name = `${slice}_${lane.replaceAll('-', '_')}.service`
    this.#slice = `${slice}.slice`
    this.#lane = lane
    this.#timeline = timeline
    const folder = join(KUBELET, 'tmp')
    makeDirectories(folder)
    this.#log = join(folder, `${lane}.log`)
    closeSync(openSync(this.#log, 'a'))
  }

  /** Starts it for the first time, and waits until it says that it is ready. `properties`: as systemd.service(5) names them. */
  async create({ executable, args, argv0 }: Command, properties: readonly string[]): Promise<void> {
    this.#tail = setInterval(() => {
      this.#follow()
    }, TAIL)
    const always = [
      'Type=notify',
      'Restart=always',
      'RestartSec=0',
      'StartLimitIntervalSec=0',
      'KillMode=mixed',
      'TimeoutStopSec=20',
    ]
    const command = [
      ...['--quiet', '--collect', `--unit=${this.name}`, `--slice=${this.#slice}`],
      ...[...always, ...properties].map((property) => `--property=${property}`),
      ...['--', '/usr/bin/nsenter', '--target', String(process.pid), '--mount', '--'],
      ...[...SHELL, START, argv0, this.#log, executable, ...args],
    ]
    const { status, stderr } = await run('systemd-run', command, DEADLINE)
    if (status !== 0) throw new Error(`${this.name} cannot be started: ${stderr.trim()} ${this.#tailOfLog()}`)
  }

  /** `systemctl`, with the unit's name at the end. Throws an Error with what it said. */
  async control(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await run('systemctl', [...args, this.name], DEADLINE)
    if (status !== 0) throw new Error(`systemctl ${args.join(' ')} ${this.name}: ${stderr.trim()} ${this.#tailOfLog()}`)
    return stdout.trim()
  }

  /** Its main process; undefined between two. */
  async mainPid(): Promise<number | undefined> {
    const pid = Number(await this.control('show', '--property=MainPID', '--value'))
    return pid === 0 ? undefined : pid
  }

  /** Waits until it is active with another main process than this one, which it returns. */
  async succeeds(pid: number | undefined): Promise<number> {
    return await until(`${this.name} is active again`, async () => {
      const main = await this.mainPid()
      const active = (await this.control('show', '--property=ActiveState', '--value')) === 'active'
      return active && main !== undefined && main !== pid ? main : undefined
    })
  }

  #follow(): void {
    const size = statSync(this.#log).size
    if (size <= this.#read) return
    const fd = openSync(this.#log, 'r')
    const buffer = Buffer.alloc(size - this.#read)
    this.#read += readSync(fd, buffer, 0, buffer.length, this.#read)
    closeSync(fd)
    // note() would put each line on the timeline; the log has them all.
    for (const line of this.#lines.push(buffer)) this.#timeline.logNow(this.#lane, line)
  }

  #tailOfLog(): string {
    this.#follow()
    return this.#timeline
      .logs()
      .filter(({ lane }) => lane === this.#lane)
      .slice(-3)
      .map(({ text }) => text)
      .join(' ')
  }

  [Symbol.dispose](): void {
    clearInterval(this.#tail)
    this.#follow()
  }
}
