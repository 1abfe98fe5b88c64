import assert from 'node:assert/strict'
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { connectionsOf } from '../../src/os/mounts/fuse-connections.ts'
import { parentOf } from '../../src/os/processes/child-processes.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { Reader } from '../support/c-reader.ts'
import { Container } from '../support/container.ts'
import { CsiClient } from '../support/csi-client.ts'
import { DUMMY_FUSED } from '../support/fused.ts'
import { mount } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** Volumes that are mounted, and so devices of each daemon and standby. */
const VOLUMES = 2

/** A daemon and a standby, each in a container of its own, as in two pods; and readers outside of both. */
class Pods implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly #socket = join(this.sandbox.path, 'fused.sock')
  readonly #stateDir = join(this.sandbox.path, 'state')
  readonly #readers: Reader[] = []
  /** Of the readers that hold a file or open it anew. */
  readonly path: string
  /** Of the reader that maps a file: a reader beside it would bring its pages into the cache. */
  readonly mapped: string

  constructor() {
    mount('--bind', this.sandbox.path, this.sandbox.path)
    mount('--make-private', this.sandbox.path)
    mount('--make-shared', this.sandbox.path)
    this.path = this.sandbox.directory('mnt')
    this.mapped = this.sandbox.directory('mapped')
  }

  /** The records of all sessions. */
  get records(): string[] {
    const folder = join(this.#stateDir, 'sessions')
    return readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(folder, name))
  }

  /** A container of dummy-fused under keep. It does not wait until the daemon answers. */
  daemon(...args: readonly string[]): Container {
    const own = ['--socket', this.#socket, '--state-dir', this.#stateDir, '--on-stop', 'hand-over', ...args]
    return Container.start(this.sandbox, [
      ...[EXECUTABLE, 'keep', '--watchdog', '30', '--socket', this.#socket, '--', DUMMY_FUSED],
      ...own,
    ])
  }

  standby(...args: readonly string[]): Container {
    const own = ['standby', '--state-dir', this.#stateDir, '--on-stop', 'serve', '--takeover-deadline', '600', ...args]
    return Container.start(this.sandbox, [EXECUTABLE, 'keep', '--', EXECUTABLE, ...own])
  }

  /** Resolves once a daemon answers. */
  async answers(): Promise<void> {
    await eventually('dummy-fused answers', async () => {
      if (!existsSync(this.#socket)) return false
      using client = this.#client()
      return await client.call(Fused.method.list).then(
        () => true,
        () => false,
      )
    })
  }

  /** Resolves once a standby has the devices, and its keep, from which the next standby gets them; gives the standby's pid. */
  async held(): Promise<number> {
    // One that has ended meanwhile has none.
    const has = (pid: number): boolean => [pid, parentOf(pid) ?? 0].every((one) => connectionsOf(one)?.length === VOLUMES)
    return await eventually('a standby has the devices', () => this.sandbox.processes('dummy-standby').find(has))
  }

  /** The process of the daemon that runs, other than `former`. */
  async daemonProcess(former?: number): Promise<number> {
    const find = (): number | undefined => this.sandbox.processes('dummy-fused').find((pid) => pid !== former)
    return await eventually('there is a daemon', find)
  }

  /** Unmounts the volume that its readers use. */
  async unmountUsed(): Promise<void> {
    using client = this.#client()
    await client.call(Fused.method.unmount, { path: this.path })
  }

  /** Mounts the volumes, and starts readers of them. */
  async begin(): Promise<void> {
    using client = this.#client()
    for (const path of [this.path, this.mapped]) await client.call(Fused.method.mount, { path })
    for (const mode of ['held', 'reopen', 'mmap'] as const) {
      const file = join(mode === 'mmap' ? this.mapped : this.path, 'dummy-file.txt')
      const reader = await Reader.start(this.sandbox, { mode, file, intervalUs: 10_000 })
      await reader.reading()
      this.#readers.push(reader)
    }
  }

  /** Resolves once every reader has read some more, without a failure. */
  async read(): Promise<void> {
    for (const reader of this.#readers) {
      const { rounds } = await reader.progress()
      await reader.until('it reads on', (now) => now.rounds > rounds + 20 || Object.keys(now.failed).length > 0)
      const { failed, wrong } = await reader.progress()
      assert.deepEqual({ failed, wrong }, { failed: {}, wrong: 0 })
    }
  }

  /** Resolves once the reader that holds a file gets ENOTCONN. */
  async cut(): Promise<void> {
    await this.#readers[0]?.until('it gets ENOTCONN', ({ failed }) => (failed.ENOTCONN ?? 0) > 0)
  }

  /** Starts a daemon, and resolves once it serves the readers and a standby has the devices. */
  async succeed(): Promise<void> {
    this.daemon()
    await this.answers()
    await this.held()
    await this.read()
  }

  /** Ends the readers and the volumes, and looks at what is left. */
  async end(): Promise<void> {
    for (const reader of this.#readers) await reader.summary()
    using client = this.#client()
    for (const path of [this.path, this.mapped]) assert.equal((await client.call(Fused.method.unmount, { path })).wasMounted, true)
    assert.deepEqual(this.records, [])
    assert.deepEqual(this.sandbox.mounts(), [this.sandbox.path])
  }

  #client(): CsiClient {
    return new CsiClient(this.#socket)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]()
  }
}

/** Two containers, volumes and their readers. */
async function began(): Promise<{ pods: Pods; daemon: Container; standby: Container }> {
  const pods = new Pods()
  try {
    const daemon = pods.daemon()
    await pods.answers()
    const standby = pods.standby()
    await pods.begin()
    await pods.held()
    return { pods, daemon, standby }
  } catch (error) {
    await pods[Symbol.asyncDispose]()
    throw error
  }
}

/** How a container is ended in each round. */
const ENDS = ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGTERM'] as const
/** Rounds in which both are stopped. */
const ROUNDS = 2

describe('sessions in containers', () => {
  it('outlive the daemon’s container, which is killed and stopped', async () => {
    const begun = await began()
    await using pods = begun.pods
    let { daemon } = begun
    for (const signal of ENDS) {
      await daemon.end(signal)
      await pods.read()
      daemon = pods.daemon()
      await pods.answers()
      await daemon.logged(/the standby has handed over 2 descriptors/)
      await pods.held()
      await pods.read()
    }
    await pods.end()
  })

  it('outlive the standby’s container, which is killed and stopped', async () => {
    const begun = await began()
    await using pods = begun.pods
    let { standby } = begun
    for (const signal of ENDS) {
      await standby.end(signal)
      await pods.read()
      standby = pods.standby()
      await pods.held()
    }
    await pods.read()
    await pods.end()
  })

  it('outlive both containers, which are stopped at the same time', async () => {
    const begun = await began()
    await using pods = begun.pods
    let { daemon, standby } = begun
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all([daemon.signal('SIGTERM'), standby.signal('SIGTERM')])
      // A DaemonSet makes each pod anew when it has gone; the standby's is the first to go where it did not serve yet.
      const ended = await Promise.race([daemon.ended().then(() => 'daemon'), standby.ended().then(() => 'standby')])
      const formerDaemon = daemon
      const formerStandby = standby
      if (ended === 'standby') standby = pods.standby()
      else daemon = pods.daemon()
      await (ended === 'standby' ? formerDaemon : formerStandby).ended()
      if (ended === 'standby') daemon = pods.daemon()
      else standby = pods.standby()
      await pods.answers()
      await pods.held()
      await pods.read()
    }
    await pods.end()
  })

  it('wait for a standby when the daemon is stopped and there is none', async () => {
    await using pods = new Pods()
    const daemon = pods.daemon()
    await pods.answers()
    await pods.begin()
    await daemon.signal('SIGTERM')
    await daemon.logged(/there is no standby to serve the sessions on: they are served here for up to 45 s/)
    await pods.read()
    const standby = pods.standby()
    await daemon.ended()
    assert.match(daemon.log(), /A standby serves the sessions/)
    await standby.logged(/dummy-fused ends: serving 2 sessions/)
    await pods.read()
    pods.daemon()
    await pods.answers()
    await pods.read()
    await pods.end()
  })

  it('are given up, and that is said, when no standby comes in time', async () => {
    await using pods = new Pods()
    const daemon = pods.daemon('--handover-deadline', '1')
    await pods.answers()
    await pods.begin()
    await daemon.end('SIGTERM')
    assert.match(daemon.log(), /no standby has taken the sessions over within 1 s: their consumers get ENOTCONN/)
    await pods.cut()
    const next = pods.daemon()
    await pods.answers()
    await next.logged(/the session of .* is lost: its descriptor was not kept/)
  })

  it('outlive the processes of both containers, which are killed in turn', async () => {
    const begun = await began()
    await using pods = begun.pods
    for (let round = 0; round < ROUNDS; round++) {
      const former = await pods.daemonProcess()
      process.kill(former, 'SIGKILL')
      await pods.daemonProcess(former)
      await pods.answers()
      await pods.read()
      process.kill(await pods.held(), 'SIGKILL')
      await pods.read()
      await pods.held()
    }
    await pods.end()
  })

  it('outlive a standby that serves alone, and is killed', async () => {
    const begun = await began()
    await using pods = begun.pods
    const { daemon, standby } = begun
    await daemon.end('SIGKILL')
    await standby.logged(/serving 2 sessions/)
    process.kill(await pods.held(), 'SIGKILL')
    // The third descriptor is the pipe of the daemon: the standby serves from the daemon's word, and may be killed before it sees the end of that pipe.
    await standby.logged(/ended: SIGKILL[^]*started \S+ with [23] descriptors[^]*dummy-fused is gone: serving 2 sessions/)
    await pods.read()
    await pods.succeed()
    await pods.end()
  })

  it('outlive a daemon’s container that is killed as soon as it is ready', async () => {
    const begun = await began()
    await using pods = begun.pods
    let { daemon } = begun
    for (let round = 0; round < ROUNDS; round++) {
      await daemon.end('SIGKILL')
      daemon = pods.daemon()
      await daemon.logged(/dummy-fused\[\d+\] is ready/)
    }
    await daemon.end('SIGKILL')
    await pods.read()
    await pods.succeed()
    await pods.end()
  })

  it('outlive a daemon that is stopped while it takes over', async () => {
    const begun = await began()
    await using pods = begun.pods
    const { daemon, standby } = begun
    const former = await pods.daemonProcess()
    process.kill(former, 'SIGKILL')
    await standby.logged(/a successor serves/)
    const stopped = await pods.daemonProcess(former)
    process.kill(stopped, 'SIGSTOP')
    await eventually('it is stopped', () => processStat(stopped)?.state === 'T')
    await daemon.logged(/was stopped for 3 s: SIGKILL/)
    await pods.read()
    await pods.daemonProcess(stopped)
    await pods.answers()
    await pods.held()
    await pods.end()
  })

  it('outlive a daemon’s container that is killed while the standby’s is stopped', async () => {
    const begun = await began()
    await using pods = begun.pods
    const { daemon, standby } = begun
    await Promise.all([daemon.signal('SIGKILL'), standby.signal('SIGTERM')])
    await daemon.ended()
    await standby.logged(/serving 2 sessions[^]*stopped while it serves: it goes on until a successor serves/)
    await pods.read()
    pods.daemon()
    await pods.answers()
    await standby.ended()
    await pods.read()
    pods.standby()
    await pods.held()
    await pods.end()
  })

  for (const [title, spoil, why] of [
    ['cut short', (record: string) => writeFileSync(record, ''), 'its record is damaged: it is not valid JSON'],
    ['removed', (record: string) => rmSync(record), 'there is no record of it'],
  ] as const) {
    it(`outlive the daemon’s container also when their records are ${title}`, async () => {
      const begun = await began()
      await using pods = begun.pods
      const { daemon } = begun
      for (const record of pods.records) spoil(record)
      await daemon.end('SIGKILL')
      const next = pods.daemon()
      await pods.answers()
      await next.logged(/the standby has handed over 2 descriptors/)
      assert.equal(next.log().split(`is served with default options: ${why}`).length, VOLUMES + 1)
      await pods.read()
      await pods.held()
      await pods.end()
    })
  }

  it('are not given up when the standby hangs while a daemon starts: the next start has them', async () => {
    const begun = await began()
    await using pods = begun.pods
    const { daemon, standby } = begun
    const process2 = await pods.held()
    await daemon.end('SIGKILL')
    await standby.logged(/serving 2 sessions/)
    // Its keep would kill it.
    await standby.signal('SIGSTOP')
    process.kill(process2, 'SIGSTOP')
    const next = pods.daemon()
    await next.logged(/it does not answer within 10 s[^]*the standby keeps the sessions until the next start asks it again/)
    process.kill(process2, 'SIGCONT')
    await standby.signal('SIGCONT')
    await next.logged(/took over 2 sessions of 2 descriptors/)
    await pods.answers()
    await pods.read()
    await pods.held()
    await pods.end()
  })

  it('end when they are unmounted while the standby is away, which holds them no longer when it is back', async () => {
    const begun = await began()
    await using pods = begun.pods
    const { standby } = begun
    const former = await pods.held()
    await standby.signal('SIGSTOP')
    process.kill(former, 'SIGKILL')
    await pods.unmountUsed()
    await standby.signal('SIGCONT')
    await standby.logged(/started \S+ with 3 descriptors/)
    await pods.cut()
    const next = await eventually('there is another standby', () =>
      pods.sandbox.processes('dummy-standby').find((pid) => pid !== former),
    )
    await eventually('it has let go of the device', () => devicesOf(next) === VOLUMES - 1)
  })
})
