import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Reader } from '../support/c-reader.ts'
import { Container, NAMESPACES, processOneOf } from '../support/container.ts'
import { GREETING, mount, mountAt } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import type { Plugin } from '../support/plugin.ts'
import { EXAMPLES, keptOfPrograms, ProgramVolume, serveProgram } from '../support/program.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const OK = { code: 'OK', details: '' }
/** Seconds of a call: a busy machine takes long to start three processes. */
const CALL = 60

const VOLUMES = ['v1', 'v2']

/** A plugin whose shields run bindfs, and a holder, each in a container of its own, as in two pods; and readers outside of both. */
class Pods implements AsyncDisposable {
  readonly sandbox: Sandbox
  readonly #readers: Reader[] = []
  readonly plugin: Plugin
  readonly volumes: readonly ProgramVolume[]
  readonly devices: readonly string[]
  holder: Container

  private constructor(sandbox: Sandbox, parts: Pick<Pods, 'plugin' | 'volumes' | 'devices' | 'holder'>) {
    this.sandbox = sandbox
    this.plugin = parts.plugin
    this.volumes = parts.volumes
    this.devices = parts.devices
    this.holder = parts.holder
  }

  static async start(): Promise<Pods> {
    const sandbox = new Sandbox()
    try {
      mount('--bind', sandbox.path, sandbox.path)
      mount('--make-private', sandbox.path)
      mount('--make-shared', sandbox.path)
      const source = sandbox.directory('source')
      // As the node's /run is: what is there outlives the plugin's container.
      mount('-t', 'tmpfs', 'tmpfs', secretsIn(sandbox))
      writeFileSync(join(source, 'dummy-file.txt'), GREETING)
      const holder = startHolder(sandbox)
      await holder.logged(/keeps sessions on /)
      // One shield after the other: the sessions whose turn has not come are kept too.
      const queue = ['--starts-at-once', '1']
      const args = ['--fuse-host', 'service', '--holder', socketIn(sandbox), '--secrets-dir', secretsIn(sandbox), ...queue]
      const plugin = await serveProgram(sandbox, join(EXAMPLES, 'bindfs.yaml'), { args, by: NAMESPACES, callDeadline: CALL })
      const asked = { parameters: { source }, deadline: CALL * 1000 }
      const volumes = VOLUMES.map((id) => new ProgramVolume(sandbox, plugin, asked, id))
      for (const volume of volumes) assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK], plugin.log())
      const pods = new Pods(sandbox, { plugin, volumes, holder, devices: devicesAt(volumes) })
      await pods.held()
      for (const { target } of volumes)
        for (const mode of ['held', 'reopen'] as const) {
          const reader = await Reader.start(sandbox, { mode, file: join(target, 'dummy-file.txt'), intervalUs: 10_000 })
          await reader.reading()
          pods.#readers.push(reader)
        }
      return pods
    } catch (error) {
      await sandbox[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Replaces the holder's container. */
  renewHolder(): void {
    this.holder = startHolder(this.sandbox)
  }

  /** Resolves once a holder has all devices. */
  async held(): Promise<void> {
    await eventually('a holder has the devices', () =>
      this.sandbox.processes('dummy-holder').some((pid) => devicesOf(pid) === VOLUMES.length),
    )
  }

  /** Sends a signal to process 1 of the plugin's container. */
  signal(name: NodeJS.Signals): void {
    const init = processOneOf(this.plugin.pid)
    assert.ok(init !== undefined, 'the container has a process 1')
    process.kill(init, name)
  }

  /** Resolves once nothing of the plugin's container is left, and another one serves. */
  async renewPlugin(): Promise<void> {
    await eventually(`the plugin's container ends; it said: ${this.plugin.log()}`, () => !this.plugin.running, 90_000)
    await this.plugin.restart()
  }

  /** Resolves once every reader has read some more, without a failure, of the session that there was. */
  async read(): Promise<void> {
    for (const reader of this.#readers) {
      const { rounds } = await reader.progress()
      await reader.until('it reads on', (now) => now.rounds > rounds + 20 || Object.keys(now.failed).length > 0)
      const { failed, wrong } = await reader.progress()
      assert.deepEqual({ failed, wrong }, { failed: {}, wrong: 0 }, this.plugin.log() + this.holder.log())
    }
    assert.deepEqual(devicesAt(this.volumes), this.devices)
  }

  /** Resolves once every reader gets ENOTCONN. */
  async cut(): Promise<void> {
    for (const reader of this.#readers) await reader.until('it gets ENOTCONN', ({ failed }) => (failed.ENOTCONN ?? 0) > 0)
  }

  /** Ends the readers and the volume, and looks at what is left. */
  async end(): Promise<void> {
    for (const reader of this.#readers) await reader.summary()
    for (const volume of this.volumes)
      assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK], this.plugin.log())
    await eventually('the holder has nothing', () => this.sandbox.processes('dummy-holder').every((pid) => devicesOf(pid) === 0))
    assert.deepEqual([this.sandbox.mounts(), keptOfPrograms(this.plugin)], [[secretsIn(this.sandbox), this.sandbox.path], []])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.plugin[Symbol.dispose]()
    await this.sandbox[Symbol.asyncDispose]()
  }
}

/** The super blocks at the staging paths and targets of volumes. */
function devicesAt(volumes: readonly ProgramVolume[]): readonly string[] {
  return volumes.flatMap(({ staging, target }) => [mountAt(staging).device, mountAt(target).device])
}

function socketIn(sandbox: Sandbox): string {
  return join(sandbox.path, 'holder', 'holder.sock')
}

function secretsIn(sandbox: Sandbox): string {
  return sandbox.directory('secrets')
}

function startHolder(sandbox: Sandbox): Container {
  return Container.start(sandbox, [EXECUTABLE, 'holder', '--socket', socketIn(sandbox)])
}

describe('sessions of shields in containers', () => {
  it('outlive the plugin whose container is killed and stopped, and a holder that is replaced', { timeout: 600_000 }, async () => {
    await using pods = await Pods.start()
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      pods.signal(signal)
      await pods.renewPlugin()
      await pods.read()
      await pods.held()
    }
    await pods.holder.signal('SIGKILL')
    await pods.holder.ended()
    pods.renewHolder()
    await pods.held()
    pods.signal('SIGKILL')
    await pods.renewPlugin()
    await pods.read()
    await pods.held()
    // A holder that is stopped while the shield runs has nothing to wait for.
    await pods.holder.signal('SIGTERM')
    assert.equal((await pods.holder.ended()).status, 0)
    pods.renewHolder()
    await pods.held()
    await pods.end()
  })

  it('outlive both containers that are stopped at the same moment', { timeout: 600_000 }, async () => {
    await using pods = await Pods.start()
    const { holder } = pods
    await holder.signal('SIGTERM')
    pods.signal('SIGTERM')
    // The plugin's container ends once a holder has promised to keep the session: this one, or the next.
    await holder.ended().catch(() => undefined)
    if (pods.sandbox.processes('dummy-holder').length === 0) pods.renewHolder()
    await pods.renewPlugin()
    await pods.read()
    await pods.end()
  })

  it('end where nobody keeps them, and are mounted anew', { timeout: 600_000 }, async () => {
    await using pods = await Pods.start()
    await pods.holder.signal('SIGKILL')
    await pods.holder.ended()
    pods.signal('SIGKILL')
    await pods.cut()
    pods.renewHolder()
    await pods.renewPlugin()
    for (const volume of pods.volumes) assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK], pods.plugin.log())
    for (const device of devicesAt(pods.volumes)) assert.ok(!pods.devices.includes(device))
    await pods.held()
    await pods.end()
  })
})
