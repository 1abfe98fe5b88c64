import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VolumeHealthErrorType, Node } from '../../src/rpc/csi_pb.ts'
import { FusedProcess } from '../support/fused.ts'
import { processOneOf } from '../support/container.ts'
import { mount } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Plugin, type PluginOptions } from '../support/plugin.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** What the plugin says of consumers that it does not see. */
const UNSEEN = 'was bound to a new session since it was published, which its running consumer does not have; '

/** A volume that is published, and a plugin. */
class Published implements AsyncDisposable {
  readonly sandbox: Sandbox
  readonly plugin: Plugin
  readonly volume: Volume

  private constructor(sandbox: Sandbox, plugin: Plugin) {
    this.sandbox = sandbox
    this.plugin = plugin
    this.volume = new Volume(sandbox, plugin, 'volume')
  }

  /** `prepare` is called before anything is mounted. */
  static async start(options: PluginOptions = {}, prepare: (sandbox: Sandbox) => void = () => undefined): Promise<Published> {
    const sandbox = new Sandbox()
    try {
      prepare(sandbox)
      const published = new Published(sandbox, await Plugin.start(sandbox, options))
      await published.volume.publish()
      return published
    } catch (error) {
      await sandbox[Symbol.asyncDispose]()
      throw error
    }
  }

  /** A consumer in a mount namespace of its own: `script` makes it, and it then runs on. */
  async consumer(script: string, propagation = 'private'): Promise<Running> {
    const words = ['--mount', '--propagation', propagation, 'sh', '-c', `${script} && echo ready && exec sleep 600`]
    const running = this.sandbox.start('unshare', words)
    await eventually('the consumer is ready', () => running.output().includes('ready'))
    return running
  }

  /** The reasons and messages for one target, as the kubelet asks for a pod. A daemon that a busy machine keeps from an answer within a second is DaemonHung, and is asked again. */
  async health(target = this.volume.target): Promise<Record<string, string>> {
    const request = { volumeId: this.volume.id, volumePublishPath: target, stagingTargetPath: this.volume.staging }
    return await eventually('no daemon is slow to answer', async () => {
      const { volumeHealth } = await this.plugin.call(Node.method.nodeGetVolumeHealth, request)
      const found = volumeHealth?.healthStatuses ?? []
      for (const { status } of found) assert.equal(status, VolumeHealthErrorType.INACCESSIBLE)
      const messages = Object.fromEntries(found.map(({ reason, message }) => [reason, message]))
      return 'DaemonHung' in messages ? undefined : messages
    })
  }

  /** {@link health}, once the plugin sees the consumers: on a busy machine a search of /proc may take longer than the plugin waits for it. */
  async seen(target = this.volume.target): Promise<Record<string, string>> {
    return await eventually('the plugin sees the consumers', async () => {
      const found = await this.health(target)
      return found.ConsumerStale?.includes(UNSEEN) === true ? undefined : found
    })
  }

  /** What `dummy-fuse-csi status` says. */
  async status(): Promise<string> {
    return (await this.sandbox.run(EXECUTABLE, ['status', '--state-dir', this.plugin.stateDir])).stdout
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.plugin[Symbol.dispose]()
    await this.sandbox[Symbol.asyncDispose]()
  }
}

/** Whether a text names a consumer. On this machine other tests' processes may have copies of its mounts for a moment. */
function names(text: string, { pid }: Running): boolean {
  return new RegExp(`\\bprocess ${pid} \\(sleep\\)`).test(text)
}

/** Makes the sandbox's mounts propagate, as those of a node do. */
function shared({ path }: Sandbox): void {
  mount('--bind', path, path)
  mount('--make-private', path)
  mount('--make-shared', path)
}

async function end(consumer: Running): Promise<void> {
  consumer.child.kill('SIGKILL')
  await consumer.ended
}

/** Ways in which a target comes to a new session. */
const WAYS: Readonly<Record<string, (published: Published) => Promise<unknown>>> = {
  'published again after its daemon was killed': async ({ volume }) => {
    await volume.killDaemon()
    await volume.publish()
  },
  'restored after the plugin was killed': async ({ plugin }) => {
    await plugin.kill()
    await plugin.restart()
  },
  'published again after its session was replaced at the staging path': async ({ volume }) => {
    await volume.killDaemon()
    await volume.stage()
    await volume.publish()
  },
  'published again after it was unmounted, and its session with it': async ({ volume, sandbox }) => {
    await volume.killDaemon()
    await sandbox.run('umount', [volume.target])
    await sandbox.run('umount', [volume.staging])
    await volume.publish()
  },
}

describe('a target that was bound anew', () => {
  for (const [way, bindAnew] of Object.entries(WAYS)) {
    it(`names the consumer that has the earlier session, until that ends: ${way}`, async () => {
      await using published = await Published.start()
      const { sandbox, plugin, volume } = published
      const mnt = sandbox.directory('mnt')
      const consumer = await published.consumer(`mount --bind ${volume.target} ${mnt} && umount ${volume.target} ${volume.staging}`)
      assert.deepEqual(await published.health(), {})
      await bindAnew(published)
      const { ConsumerStale: message = '', ...others } = await published.seen()
      assert.deepEqual(others, {})
      assert.ok(message.startsWith(`${volume.target} was bound to a new session, and a consumer has the earlier one`), message)
      assert.ok(names(message, consumer), message)
      await volume.publish()
      await plugin.kill()
      await plugin.restart()
      assert.deepEqual(Object.keys(await published.health()), ['ConsumerStale'], 'a second Publish and a restart change nothing')
      assert.match(await published.status(), /^volume "volume": ConsumerStale\n/)
      await eventually('status names the consumer', async () => names(await published.status(), consumer))
      const next = await published.consumer(`mount --bind ${volume.target} ${mnt}`)
      await end(consumer)
      // Another test's process may have a copy of the mounts for a moment.
      await eventually('no process has the earlier session', async () => Object.keys(await published.health()).length === 0)
      await eventually('status says so', async () => (await published.status()).startsWith('volume "volume": healthy\n'))
      await end(next)
    })
  }

  it('says nothing of a consumer that gets the new session by propagation, and nothing once it is unpublished', async () => {
    await using published = await Published.start({}, shared)
    const { volume } = published
    const second = volume.another('second')
    await volume.publish(second)
    const slave = await published.consumer('true', 'slave')
    const stale = await published.consumer(`umount ${volume.target} ${volume.staging}`)
    await volume.killDaemon()
    for (const target of [volume.target, second]) await volume.publish(target)
    const of = async (target: string): Promise<string> => (await published.seen(target)).ConsumerStale ?? ''
    assert.deepEqual([names(await of(volume.target), slave), names(await of(volume.target), stale)], [false, false])
    assert.deepEqual([names(await of(second), slave), names(await of(second), stale)], [false, true])
    await volume.unpublish(second)
    await volume.publish(second)
    assert.deepEqual(await published.health(second), {})
    await Promise.all([end(slave), end(stale)])
  })

  it('says nothing of a consumer with the volume itself on which the new session was stacked, and names one without propagation', async () => {
    await using published = await Published.start({ args: ['--restore-mounts=stack'] }, shared)
    const { sandbox, plugin, volume } = published
    const mnt = sandbox.directory('mnt')
    const script = `mount --bind ${volume.target} ${mnt} && umount ${volume.target} ${volume.staging}`
    const slave = await published.consumer(script, 'slave')
    const separate = await published.consumer(script)
    for (const _ of ['once', 'twice']) {
      await plugin.kill()
      await plugin.restart()
      const { ConsumerStale: message = '', ...others } = await published.seen()
      assert.deepEqual(others, {})
      assert.deepEqual([names(message, slave), names(message, separate)], [false, true], message)
    }
    await end(separate)
    await eventually('no process has an earlier session', async () => Object.keys(await published.health()).length === 0)
    await end(slave)
  })

  it('stays INACCESSIBLE until it is unpublished where the plugin does not see its consumers', async () => {
    const container = ['--mount', '--propagation', 'unchanged', '--pid', '--fork', '--kill-child=KILL']
    const init = ['sh', '-c', 'mount -t proc proc /proc && exec "$@"', 'container']
    await using published = await Published.start({ by: ['unshare', ...container, '--', ...init] }, shared)
    const { plugin, volume } = published
    const second = volume.another('second')
    await volume.publish(second)
    assert.deepEqual(await published.health(), {})
    for (let round = 0; round < 2; round++) {
      const init = processOneOf(plugin.pid)
      assert.ok(init !== undefined)
      process.kill(init, 'SIGKILL')
      await eventually('the container has ended', () => !plugin.running)
      await plugin.restart()
      const { ConsumerStale: message = '', ...others } = await published.health()
      assert.deepEqual(others, {})
      assert.match(
        message,
        /pod\/mount was bound to a new session since it was published, which its running consumer does not have; /,
      )
    }
    await volume.publish()
    assert.deepEqual(Object.keys(await published.health()), ['ConsumerStale'])
    const next = volume.another('third')
    await volume.publish(next)
    assert.deepEqual(await published.health(next), {}, 'a new pod is well')
    await volume.unpublish()
    await volume.publish()
    assert.deepEqual(await published.health(), {})
    assert.deepEqual(Object.keys(await published.health(second)), ['ConsumerStale'])
  })

  it('is well for a consumer whose earlier session still serves', async () => {
    await using published = await Published.start()
    const { sandbox, volume } = published
    const mnt = sandbox.directory('mnt')
    const consumer = await published.consumer(`mount --bind ${volume.target} ${mnt} && umount ${volume.target} ${volume.staging}`)
    await sandbox.run('umount', [volume.target])
    await sandbox.run('umount', [volume.staging])
    await volume.publish()
    // A mount that takes longer than half a second to answer, as it may on a busy machine, counts as dead.
    await eventually('the consumer is well', async () => !names((await published.seen()).ConsumerStale ?? '', consumer))
    await end(consumer)
  })

  it('is not found where the session outlives the plugin and dummy-fused', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', fused.socket] })
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.publish()
    const consumer = sandbox.start('unshare', ['--mount', 'sh', '-c', 'echo ready; exec sleep 600'])
    await eventually('the consumer is ready', () => consumer.output().includes('ready'))
    process.kill(fused.pid, 'SIGKILL')
    await plugin.kill()
    await plugin.restart()
    await volume.publish()
    await volume.becomesWell()
    await end(consumer)
  })
})
