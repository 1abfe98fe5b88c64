import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { Node } from '../../src/rpc/csi_pb.ts'
import { Container } from '../support/container.ts'
import { CsiClient } from '../support/csi-client.ts'
import { DUMMY_FUSED } from '../support/fused.ts'
import { mount, serves } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { argumentsOf, devicesOf, Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** A plugin, dummy-fused and a standby, each in a container of its own: none sees a process of the others. */
class Containers implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly #socket = join(this.sandbox.path, 'fused.sock')
  readonly #stateDir = join(this.sandbox.path, 'state')

  constructor() {
    mount('--bind', this.sandbox.path, this.sandbox.path)
    mount('--make-private', this.sandbox.path)
    mount('--make-shared', this.sandbox.path)
  }

  /** Resolves once it answers. It is left stopped for as long as a test wants. */
  async daemon(): Promise<Container> {
    const keep = [EXECUTABLE, 'keep', '--watchdog', '0', '--socket', this.#socket, '--']
    const own = ['--socket', this.#socket, '--state-dir', this.#stateDir, '--on-stop', 'hand-over']
    const container = Container.start(this.sandbox, [...keep, DUMMY_FUSED, ...own])
    await eventually('dummy-fused answers', async () => {
      if (!existsSync(this.#socket)) return false
      using client = new CsiClient(this.#socket)
      return await client.call(Fused.method.list).then(
        () => true,
        () => false,
      )
    })
    return container
  }

  /** Resolves once it has a device. */
  async standby(): Promise<void> {
    const own = ['standby', '--state-dir', this.#stateDir, '--on-stop', 'serve', '--takeover-deadline', '600']
    Container.start(this.sandbox, [EXECUTABLE, 'keep', '--', EXECUTABLE, ...own])
    await eventually('it has the device', () => this.sandbox.processes('dummy-standby').some((pid) => devicesOf(pid) === 1))
  }

  async plugin(): Promise<Plugin> {
    const namespaces = ['--pid', '--mount', '--propagation', 'unchanged', '--fork', '--kill-child=KILL', '--']
    const by = ['unshare', ...namespaces, 'sh', '-c', 'mount -t proc proc /proc && exec "$@"', 'container']
    return await Plugin.start(this.sandbox, { by, args: ['--fuse-host', 'service', '--fused-socket', this.#socket] })
  }

  /** What status says in the plugin's place, and where every process is seen, but under another id. */
  async status({ stateDir }: Plugin): Promise<readonly string[]> {
    const words = [EXECUTABLE, 'status', '--state-dir', stateDir, '--fused-socket', this.#socket]
    const inside = await this.sandbox.run('unshare', ['--pid', '--fork', '--mount-proc', '--', ...words])
    const outside = await this.sandbox.run(EXECUTABLE, words.slice(1))
    return [inside.stdout, outside.stdout]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]()
  }
}

describe('health of volumes whose dummy-fused is in another container', () => {
  it('is DaemonHung alone while that is stopped, and well before and after', async () => {
    await using containers = new Containers()
    await containers.daemon()
    using plugin = await containers.plugin()
    const volume = new Volume(containers.sandbox, plugin, 'volume')
    await volume.publish()
    await volume.becomesWell()
    const healthy = await eventually('status says so inside and outside', async () => {
      const states = await containers.status(plugin)
      return states.every((state) => state.startsWith('volume "volume": healthy\n')) ? states : undefined
    })
    for (const state of healthy) assert.doesNotMatch(state, /daemon \d/)
    const [pid, ...others] = containers.sandbox.processes('dummy-fused')
    assert.ok(pid !== undefined && others.length === 0)
    await stop(pid)
    for (let round = 0; round < 2; round++) {
      const begun = performance.now()
      const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, {
        volumeId: volume.id,
        volumePublishPath: volume.target,
        stagingTargetPath: volume.staging,
      })
      assert.deepEqual(
        volumeHealth?.healthStatuses.map(({ reason }) => reason),
        ['DaemonHung'],
      )
      // The plugin's own limits add up to less than a second; a question to a dummy-fused that is to act has four.
      assert.ok(performance.now() - begun < 3500)
      await plugin.kill()
      // That was unshare(1), and what it takes along has the state folder locked until it is gone.
      const locked = (): boolean => containers.sandbox.processes().some((one) => argumentsOf(one).includes(plugin.stateDir))
      await eventually('the plugin is gone', () => !locked())
      await plugin.restartUnrestored()
    }
    process.kill(pid, 'SIGCONT')
    await volume.becomesWell()
    await volume.unpublish()
    await volume.unstage()
  })

  it('is well, and that of the storage too, while dummy-fused is away and a standby serves', async () => {
    await using containers = new Containers()
    const { sandbox } = containers
    const daemon = await containers.daemon()
    using plugin = await containers.plugin()
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.publish()
    await containers.standby()
    await daemon.signal('SIGTERM')
    await daemon.ended()
    await volume.becomesWell()
    assert.deepEqual((await plugin.call(Node.method.nodeGetStorageHealth)).backendHealth, [])
    const second = volume.another('second')
    await volume.publish(second)
    assert.ok(await serves(sandbox, second))
    await containers.daemon()
    await volume.becomesWell()
    for (const target of [volume.target, second]) await volume.unpublish(target)
    await volume.unstage()
  })
})
