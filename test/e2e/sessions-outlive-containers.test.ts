import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { Reader } from '../support/c-reader.ts'
import { Container } from '../support/container.ts'
import { CsiClient } from '../support/csi-client.ts'
import { DUMMY_FUSED } from '../support/fused.ts'
import { mount } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** A daemon and a standby, each in a container of its own, as in two pods; and readers outside of both. */
class Pods implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly #socket = join(this.sandbox.path, 'fused.sock')
  readonly #stateDir = join(this.sandbox.path, 'state')
  readonly #readers: Reader[] = []
  readonly path: string

  constructor() {
    mount('--bind', this.sandbox.path, this.sandbox.path)
    mount('--make-private', this.sandbox.path)
    mount('--make-shared', this.sandbox.path)
    this.path = this.sandbox.directory('mnt')
  }

  /** A container of dummy-fused under keep. It does not wait until the daemon answers. */
  daemon(...args: readonly string[]): Container {
    const own = ['--socket', this.#socket, '--state-dir', this.#stateDir, '--on-stop', 'hand-over', ...args]
    return Container.start(this.sandbox, [EXECUTABLE, 'keep', '--socket', this.#socket, '--', DUMMY_FUSED, ...own])
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

  /** Resolves once a standby has the device. */
  async held(): Promise<void> {
    await eventually('a standby has the device', () => this.sandbox.processes('dummy-standby').some((pid) => devicesOf(pid) === 1))
  }

  /** Mounts the volume, and starts readers of it. */
  async begin(): Promise<void> {
    using client = this.#client()
    await client.call(Fused.method.mount, { path: this.path })
    for (const mode of ['held', 'reopen'] as const) {
      const reader = await Reader.start(this.sandbox, { mode, file: join(this.path, 'dummy-file.txt'), intervalUs: 10_000 })
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

  /** Resolves once every reader gets ENOTCONN. */
  async cut(): Promise<void> {
    for (const reader of this.#readers) await reader.until('it gets ENOTCONN', ({ failed }) => (failed.ENOTCONN ?? 0) > 0)
  }

  /** Ends the readers and the volume, and looks at what is left. */
  async end(): Promise<void> {
    for (const reader of this.#readers) await reader.summary()
    using client = this.#client()
    assert.equal((await client.call(Fused.method.unmount, { path: this.path })).wasMounted, true)
    assert.deepEqual(readdirSync(join(this.#stateDir, 'sessions')), [])
    assert.deepEqual(this.sandbox.mounts(), [this.sandbox.path])
  }

  #client(): CsiClient {
    return new CsiClient(this.#socket)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]()
  }
}

/** Two containers, a volume and its readers. */
async function began(): Promise<{ pods: Pods; daemon: Container; standby: Container }> {
  const pods = new Pods()
  const daemon = pods.daemon()
  await pods.answers()
  const standby = pods.standby()
  await pods.begin()
  await pods.held()
  return { pods, daemon, standby }
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
      await daemon.signal(signal)
      await daemon.ended()
      await pods.read()
      daemon = pods.daemon()
      await pods.answers()
      await daemon.logged(/the standby has handed over 1 descriptors/)
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
      await standby.signal(signal)
      await standby.ended()
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
    await standby.logged(/dummy-fused ends: serving 1 sessions/)
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
    await daemon.signal('SIGTERM')
    await daemon.ended()
    assert.match(daemon.log(), /no standby has taken the sessions over within 1 s: their consumers get ENOTCONN/)
    await pods.cut()
    const next = pods.daemon()
    await pods.answers()
    await next.logged(/the session of .* is lost: its descriptor was not kept/)
  })
})
