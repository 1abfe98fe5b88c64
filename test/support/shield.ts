import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { childrenOf } from '../../src/os/processes/child-processes.ts'
import { processStat, sendSignal } from '../../src/os/processes/processes.ts'
import { shieldAt } from '../../src/shield/control-folder.ts'
import { mountAt, umountLazily } from './mounts.ts'
import { EXECUTABLE } from './paths.ts'
import { SeededRandom } from './random.ts'
import { argumentsOf, type Result, type Running, type Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** How many names the folder `names` of {@link fill} has: a listing takes several calls of the reader, and several of the daemon. */
const NAMES = 3000
/** Bytes of its large files. */
const LENGTH = 300_000

/** Milliseconds for a daemon to serve, and for a consumer to have checked what it uses. */
const PATIENCE = 120_000

/** Fills a folder with what shielded-reader.py reads. `names`: how many there are in its folder `names`. */
export function fill(folder: string, names = NAMES): void {
  const random = new SeededRandom(1)
  const content = Buffer.from(Array.from({ length: LENGTH }, () => random.between(0, 255)))
  for (const name of ['big', 'mapped']) writeFileSync(join(folder, name), content)
  for (const name of ['folder', 'names']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'folder', 'in-folder'), 'in the folder\n')
  for (let number = 0; number < names; number++)
    writeFileSync(join(folder, 'names', `name-${String(number).padStart(5, '0')}-${'x'.repeat(40)}`), '')
  writeFileSync(join(folder, 'sums'), `${names} ${LENGTH} ${createHash('sha256').update(content).digest('hex')}\n`)
}

/** A shield that runs. Its mount point and its temporary folder are in the sandbox. */
export class Shielded {
  readonly mountpoint: string
  readonly running: Running
  readonly #temporary: string

  private constructor(sandbox: Sandbox, command: readonly string[], options: readonly string[]) {
    this.mountpoint = sandbox.directory('shielded')
    this.#temporary = sandbox.directory('temporary')
    const args = ['shield', ...options, this.mountpoint, '--', ...command]
    this.running = sandbox.start(EXECUTABLE, args, { env: { ...process.env, TMPDIR: this.#temporary } })
  }

  /** Resolves when it is mounted. */
  static async start(sandbox: Sandbox, command: readonly string[], options: readonly string[] = []): Promise<Shielded> {
    const shielded = new Shielded(sandbox, command, options)
    await eventually(
      `mounted: ${shielded.running.output()}`,
      () => shielded.served === 1 || shielded.running.child.exitCode !== null,
      PATIENCE,
    )
    assert.equal(shielded.running.child.exitCode, null, shielded.running.output())
    return shielded
  }

  /** The process of the shield, below its keeper; undefined while there is none. A daemon that was left behind is the keeper's child too. */
  get shield(): number | undefined {
    return childrenOf(this.running.pid).find((pid) => processStat(pid)?.comm === 'dummy-shield')
  }

  /** The process of the daemon; undefined while there is none. */
  get daemon(): number | undefined {
    const { shield } = this
    return shield === undefined ? undefined : childrenOf(shield).find((pid) => processStat(pid) !== undefined)
  }

  /** Kills the daemon that serves, and waits until the next one does. */
  async killDaemon(): Promise<void> {
    await this.kill(['daemon'])
  }

  /** Kills some of them at one moment, in this order, and waits until the next daemon serves. */
  async kill(which: readonly ('shield' | 'daemon')[]): Promise<void> {
    const served = this.served
    // One that has ended by itself is followed by another.
    const pids = await eventually(`there are ${which.join(' and ')}: ${this.running.output()}`, () => {
      const found = which.flatMap((name) => this[name] ?? [])
      return found.length === which.length ? found : undefined
    })
    for (const pid of pids) sendSignal(pid, 'SIGKILL')
    await eventually(`the next daemon serves: ${this.running.output()}`, () => this.served > served, PATIENCE)
  }

  /** Kills the shield, and its successor `pause` milliseconds after that has begun. Waits until the next daemon serves. */
  async killTwice(pause: number): Promise<void> {
    const served = this.served
    const first = await this.#successorOf(undefined)
    process.kill(first, 'SIGKILL')
    const second = await this.#successorOf(first)
    await sleep(pause)
    process.kill(second, 'SIGKILL')
    await this.#successorOf(second)
    await eventually(`the next daemon serves: ${this.running.output()}`, () => this.served > served, PATIENCE)
  }

  killAtOnce(): void {
    const { daemon } = this
    assert.ok(daemon !== undefined, this.running.output())
    process.kill(daemon, 'SIGKILL')
  }

  /** The number of its FUSE connection. */
  get connection(): string {
    return mountAt(this.mountpoint).device.split(':')[1] ?? ''
  }

  /** Resolves to the process of the shield once that is another one. */
  async #successorOf(former: number | undefined): Promise<number> {
    return await eventually('there is a shield', () => (this.shield === former ? undefined : this.shield))
  }

  /** Ends it by SIGTERM, and asserts that nothing of it is left. */
  async stop(sandbox: Sandbox): Promise<void> {
    this.running.child.kill('SIGTERM')
    const { status } = await this.running.ended
    assert.equal(status, 0, this.running.output())
    this.assertGone(sandbox)
  }

  /** Asserts that it has left no process, no mount and no file. */
  assertGone(sandbox: Sandbox): void {
    assert.deepEqual(sandbox.mounts(), [])
    assert.deepEqual(readdirSync(this.#temporary), [])
    // The daemon has its target there.
    const left = sandbox.processes().filter((pid) => argumentsOf(pid).some((word) => word.includes(this.#temporary)))
    assert.deepEqual(left, [])
    assert.equal(shieldAt(this.mountpoint), undefined)
  }

  /** How many daemons have served so far. */
  get served(): number {
    return this.running.output().match(/ serves /g)?.length ?? 0
  }
}

/** Asserts that no hidden file is left in a folder below the mount, by default the sandbox's `written`. */
export async function assertNothingHidden(sandbox: Sandbox, folder = join(sandbox.path, 'written')): Promise<void> {
  const left = await sandbox.run('find', [folder, '-name', '.dummy-shield-*', '-o', '-name', '.fuse_hidden*'])
  assert.deepEqual([left.status, left.stdout], [0, ''])
}

/** Counts the requests of a mount that have no answer, by way of a `connections` in the sandbox, where that is mounted. */
export async function requestsOf(sandbox: Sandbox, shielded: Shielded): Promise<{ count: () => number; end: () => void }> {
  const connections = sandbox.directory('connections')
  assert.equal((await sandbox.run('mount', ['-t', 'fusectl', 'none', connections])).status, 0)
  return {
    count: () => Number(readFileSync(join(connections, shielded.connection, 'waiting'), 'utf8')),
    end: () => umountLazily(connections),
  }
}

/**
 * Has consumers of a mount that {@link fill} has filled wait for its daemon, and kills them: one that looks a name up, one that lists, one that opens and one that
 * reads. `stall` stops the daemon from answering. Asserts that each consumer ends while there is no answer.
 */
export async function killWaitingConsumers(sandbox: Sandbox, shielded: Shielded, stall: () => Promise<void>): Promise<void> {
  const script = join(import.meta.dirname, 'shielded-consumer.py')
  const consumers = ['look up', 'list', 'open', 'read'].map((what) => sandbox.start('python3', [script, shielded.mountpoint, what]))
  const areReady = (): boolean => consumers.every((consumer) => consumer.output() === 'ready\n')
  await eventually('the consumers are ready', areReady, PATIENCE)
  const requests = await requestsOf(sandbox, shielded)
  await stall()
  for (const { child } of consumers) child.stdin?.write('\n')
  await eventually('the consumers wait', () => requests.count() >= consumers.length, PATIENCE)
  for (const { child } of consumers) child.kill('SIGKILL')
  const haveEnded = (): boolean => consumers.every(({ child }) => child.exitCode !== null || child.signalCode !== null)
  await eventually('the killed consumers have ended', haveEnded, PATIENCE)
  assert.deepEqual(
    consumers.map((consumer) => consumer.child.signalCode ?? consumer.output()),
    consumers.map(() => 'SIGKILL'),
  )
  requests.end()
}

/** What writes through the deaths of the daemon: shielded-writer.py. `seed`: what it writes, and in which order. */
export class ShieldedWriter {
  readonly #sandbox: Sandbox
  readonly #mountpoint: string
  readonly #running: Running
  #asked = 0

  constructor(sandbox: Sandbox, mountpoint: string, seed = 1) {
    this.#sandbox = sandbox
    this.#mountpoint = mountpoint
    this.#running = sandbox.start('python3', [join(import.meta.dirname, 'shielded-writer.py'), mountpoint, String(seed)])
  }

  /** Resolves when it has made all its changes once more. Throws with what went wrong since it was started. */
  async goesOn(): Promise<void> {
    const before = await this.#turns()
    await eventually('the writer goes on', async () => (await this.#turns()) > before, PATIENCE)
  }

  /** Has it end, and asserts that what it has made is there, and nothing else. Resolves to how many files there are. */
  async end(): Promise<number> {
    this.#running.child.stdin?.end()
    const { stdout } = await this.#running.ended
    const [, json] = /^expected (.*)$/m.exec(stdout) ?? []
    assert.ok(json !== undefined, stdout)
    const expected = JSON.parse(json) as Record<string, string>
    const file = join(this.#sandbox.path, 'expected')
    writeFileSync(
      file,
      Object.entries(expected)
        .map(([name, sha256]) => `${sha256}  ${name}\n`)
        .join(''),
    )
    const cwd = this.#mountpoint
    const options = { cwd, timeout: PATIENCE }
    const checked = await this.#sandbox.run('sha256sum', ['--check', '--strict', '--quiet', file], options)
    assert.equal(checked.status, 0, checked.stdout + checked.stderr)
    const listed = await this.#sandbox.run('find', ['.', '!', '-type', 'd', '-printf', '%P\\n'], options)
    assert.deepEqual(listed.stdout.trimEnd().split('\n').toSorted(), Object.keys(expected).toSorted())
    return Object.keys(expected).length
  }

  async #turns(): Promise<number> {
    this.#running.child.stdin?.write('how far\n')
    const wanted = ++this.#asked
    const lines = (): readonly string[] => this.#running.output().split('\n').slice(0, -1)
    await eventually(`the writer answers: ${this.#running.output()}`, () => lines().length >= wanted, PATIENCE)
    const line = lines().at(wanted - 1) ?? ''
    assert.match(line, /^\d+$/)
    return Number(line)
  }
}

/** A Python program that says `ok` at its start, and again for each line when all that it uses is right, or else what is wrong. */
class Checking {
  readonly #running: Running
  #lines = 0

  protected constructor(running: Running) {
    this.#running = running
  }

  /** Has it check everything that it uses. Throws with what was wrong since it was started. */
  async check(): Promise<void> {
    this.#running.child.stdin?.write('check\n')
    await this.says()
  }

  async end(): Promise<void> {
    this.#running.child.stdin?.end()
    const { status, stderr } = await this.#running.ended
    assert.equal(status, 0, stderr)
  }

  protected async says(): Promise<void> {
    const lines = (): readonly string[] => this.#running.output().split('\n').slice(0, -1)
    const wanted = ++this.#lines
    await eventually(
      `it has checked: ${this.#running.output()}`,
      () => lines().length >= wanted || this.#running.child.exitCode !== null,
      PATIENCE,
    )
    assert.equal(lines().slice(0, wanted).at(-1), 'ok', this.#running.output())
  }
}

/** What reads a mount through the deaths of its daemon: shielded-reader.py. */
export class ShieldedReader extends Checking {
  /** Resolves when it has begun to list. */
  static async start(sandbox: Sandbox, mountpoint: string): Promise<ShieldedReader> {
    const script = join(import.meta.dirname, 'shielded-reader.py')
    const reader = new ShieldedReader(sandbox.start('python3', [script, mountpoint]))
    await reader.says()
    return reader
  }
}

/** What holds files whose names are taken away, through the deaths of the daemon: shielded-holder.py. */
export class ShieldedHolder extends Checking {
  /** The names that are left of its files. */
  static readonly left = ['link', 'new-name', 'replaced']

  /** `directory` is empty. `below`: the folder that the daemon shows there, if it shows one. Resolves when the names are taken away. */
  static async start(sandbox: Sandbox, directory: string, below?: string): Promise<ShieldedHolder> {
    const script = join(import.meta.dirname, 'shielded-holder.py')
    const holder = new ShieldedHolder(sandbox.start('python3', [script, directory, ...(below === undefined ? [] : [below])]))
    await holder.says()
    return holder
  }
}

/** What `shield status --json` says. */
export interface ShieldJson {
  /** Files that are known. */
  readonly nodes: number
  readonly mountpoint: string
  readonly mountNamespace: string
  readonly state: string
  readonly mount: string
  readonly pid: number
  readonly keeper: { readonly name: string; readonly pid: number | null } | null
  readonly command: readonly string[]
  readonly daemon: { readonly pid: number } | null
  readonly away: { readonly seconds: number; readonly why: string } | null
  readonly incarnation: number
  readonly restarts: number
  readonly upgrades: number
  readonly deaths: number
  readonly requests: Readonly<Record<string, number>>
  readonly openFiles: number
  readonly options: {
    readonly readOnly: boolean
    readonly stableInodes: boolean
    readonly user: string | null
    readonly holder: string | null
    readonly giveUp: number
  }
}

/** Runs `shield WORD`; a busy machine has time enough. */
export async function runShield(sandbox: Sandbox, word: string, ...args: readonly string[]): Promise<Result> {
  return await sandbox.run(EXECUTABLE, ['shield', word, '--wait', '120', ...args], { timeout: 150_000 })
}

/** The state of the shield of a mount point. */
export async function shieldStatus(sandbox: Sandbox, mountpoint: string): Promise<ShieldJson> {
  const { status, stdout, stderr } = await runShield(sandbox, 'status', '--json', mountpoint)
  assert.equal(status, 0, stderr + stdout)
  return JSON.parse(stdout) as ShieldJson
}
