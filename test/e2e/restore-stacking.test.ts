import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { PodMounts, shareMounts } from '../support/pod-mounts.ts'
import { layersAt, mount, mountAt, optionsAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** The plugin in a mount namespace of its own, whose mounts propagate both ways, as in a container with Bidirectional. */
const IN_CONTAINER = ['unshare', '--mount', '--propagation', 'unchanged', '--']

/** A node whose folders propagate, with one plugin. */
class StackingNode implements AsyncDisposable {
  readonly sandbox: Sandbox
  readonly plugin: Plugin

  private constructor(sandbox: Sandbox, plugin: Plugin) {
    this.sandbox = sandbox
    this.plugin = plugin
  }

  static async start(...args: readonly string[]): Promise<StackingNode> {
    const sandbox = new Sandbox()
    try {
      shareMounts(sandbox)
      return new StackingNode(sandbox, await Plugin.start(sandbox, { args, by: IN_CONTAINER, callDeadline: 60 }))
    } catch (error) {
      await sandbox[Symbol.asyncDispose]()
      throw error
    }
  }

  /** SIGKILL, and a new plugin. */
  async restart(): Promise<void> {
    await this.plugin.kill()
    await this.plugin.restart()
  }

  async pod(target: string, propagation: 'private' | 'slave' = 'slave', file?: string): Promise<PodMounts> {
    return await PodMounts.start(this.sandbox, target, propagation, file)
  }

  /** Shows that a target has the session of its staging path on top, and how many mounts it has. */
  layers({ staging }: Volume, target: string, count: number): void {
    const layers = layersAt(target)
    assert.deepEqual([layers.length, layers.at(-1)?.device, layersAt(staging).length], [count, mountAt(staging).device, 1])
  }

  /** Unpublishes and unstages, and shows that no mount is left on the node. */
  async end(volume: Volume, ...targets: readonly string[]): Promise<void> {
    for (const target of targets) await volume.unpublish(target)
    await volume.unstage()
    assert.deepEqual(this.sandbox.mounts(), [this.sandbox.path])
    assert.deepEqual(this.plugin.entries(), [])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.plugin[Symbol.dispose]()
    await this.sandbox[Symbol.asyncDispose]()
  }
}

describe('serve --restore-mounts', () => {
  for (const [title, ...args] of [['of child daemons'], ['of one daemon for all volumes', '--daemons', 'shared']] as const) {
    it(`reaches HostToContainer consumers at each of three restarts, and adds no layer after the first: ${title}`, async () => {
      await using node = await StackingNode.start('--restore-mounts=stack', ...args)
      const volume = new Volume(node.sandbox, node.plugin, 'volume')
      await volume.publish()
      const pods = [await node.pod(volume.target)]
      for (const restart of [1, 2, 3]) {
        await node.restart()
        for (const pod of pods) await pod.recovers()
        node.layers(volume, volume.target, 2)
        assert.equal(pods[0]?.layers(), 2)
        // One that begins with a later session.
        pods.push(await node.pod(volume.target))
        assert.ok(await pods.at(-1)?.reads(), `the pod that starts after restart ${restart} reads`)
      }
      assert.deepEqual(
        pods.map((pod) => pod.layers()),
        [2, 3, 2, 1],
      )
      await node.end(volume, volume.target)
      for (const pod of pods) assert.equal(await pod.reads(), false)
    })
  }

  for (const [mode, propagates] of [
    ['stack', true],
    ['replace', false],
  ] as const) {
    it(`by ${mode}: what each kind of consumer has after it`, async () => {
      await using node = await StackingNode.start(`--restore-mounts=${mode}`)
      const volume = new Volume(node.sandbox, node.plugin, 'volume')
      await volume.publish()
      const pods = {
        None: await node.pod(volume.target, 'private'),
        HostToContainer: await node.pod(volume.target),
        'HostToContainer, folder above': await node.pod(dirname(volume.target), 'slave', 'mount/dummy-file.txt'),
        'HostToContainer, subPath': await node.pod(join(volume.target, 'dummy-file.txt'), 'slave', ''),
      }
      for (const pod of Object.values(pods)) assert.ok(await pod.reads())
      await node.restart()
      await (propagates ? pods.HostToContainer : pods['HostToContainer, folder above']).recovers()
      const found = await Promise.all(Object.entries(pods).map(async ([kind, pod]) => [kind, await pod.reads()]))
      assert.deepEqual(Object.fromEntries(found), {
        None: false,
        HostToContainer: propagates,
        'HostToContainer, folder above': true,
        'HostToContainer, subPath': false,
      })
      node.layers(volume, volume.target, propagates ? 2 : 1)
      assert.ok(await serves(node.sandbox, volume.target))
      await node.end(volume, volume.target)
    })
  }

  it('gives several targets of a volume one dead mount each, with the options of each', async () => {
    await using node = await StackingNode.start('--restore-mounts=stack')
    const volume = new Volume(node.sandbox, node.plugin, 'volume')
    const targets = ['a', 'b', 'c', 'd'].map((pod) => volume.another(pod))
    for (const target of targets) await volume.publish(target, target.includes('/b/'))
    const pods = await Promise.all(targets.map(async (target) => await node.pod(target)))
    const counts: number[] = []
    for (const _ of ['once', 'twice']) {
      await node.restart()
      for (const pod of pods) await pod.recovers()
      for (const target of targets) node.layers(volume, target, 2)
      counts.push(node.sandbox.mounts().length)
    }
    // The folder, the staging path, and two at each target.
    assert.deepEqual(counts, [10, 10])
    assert.deepEqual(
      targets.map((target) => optionsAt(target)[0]),
      ['rw', 'ro', 'rw', 'rw'],
    )
    await node.end(volume, ...targets)
  })

  it('takes the new mount off one target of a peer group, and leaves it at the others and in their pods', async () => {
    await using node = await StackingNode.start('--restore-mounts=stack')
    const volume = new Volume(node.sandbox, node.plugin, 'volume')
    const targets = ['a', 'b', 'c'].map((pod) => volume.another(pod)) as [string, string, string]
    for (const target of targets) {
      await volume.publish(target)
      // As earlier versions have bound them, and every version does before Linux 5.12.
      assert.equal((await node.sandbox.run('umount', ['-l', target])).status, 0)
      mount('--bind', volume.staging, target)
    }
    const pods = await Promise.all(targets.map(async (target) => await node.pod(target)))
    await node.restart()
    for (const pod of pods) await pod.recovers()
    const [first, ...others] = targets
    await volume.unpublish(first)
    const inPlugin = readFileSync(`/proc/${node.plugin.pid}/mountinfo`, 'utf8')
    assert.deepEqual([layersAt(first), existsSync(first), inPlugin.includes(` ${first} `)], [[], false, false])
    for (const target of others) node.layers(volume, target, 2)
    for (const target of others) assert.ok(await serves(node.sandbox, target))
    // That of the first target has the new mount until it ends.
    for (const pod of pods) assert.ok(await pod.reads())
    assert.doesNotMatch(node.plugin.log(), /cannot unmount/)
    await node.end(volume, ...others)
  })

  it('is what NodePublishVolume does with a dead target, and status and health know the layers', async () => {
    await using node = await StackingNode.start('--restore-mounts=stack')
    const volume = new Volume(node.sandbox, node.plugin, 'volume')
    await volume.publish()
    const pod = await node.pod(volume.target)
    for (const _ of ['once', 'twice']) {
      await volume.killDaemon()
      assert.deepEqual(await volume.reasons(), ['DaemonDead'])
      await volume.publish()
      await pod.recovers()
      node.layers(volume, volume.target, 2)
      const reasons = await volume.reasons()
      for (const reason of ['DaemonDead', 'StaleBind']) assert.ok(!reasons.includes(reason), reason)
    }
    const status = async (...args: readonly string[]): Promise<string> =>
      (await node.sandbox.run(EXECUTABLE, ['status', '--state-dir', node.plugin.stateDir, ...args])).stdout
    assert.ok((await status()).includes(`  published ${volume.target}  MOUNTED  on top of 1 earlier\n`))
    const { volumes } = JSON.parse(await status('--json')) as { volumes: { targets: { state: string; covers: number }[] }[] }
    assert.deepEqual([volumes[0]?.targets[0]?.state, volumes[0]?.targets[0]?.covers], ['MOUNTED', 1])
    await node.end(volume, volume.target)
  })

  it('goes on after a plugin that was killed in the middle of its work', async (t) => {
    await using node = await StackingNode.start('--restore-mounts=stack')
    const volume = new Volume(node.sandbox, node.plugin, 'volume')
    await volume.publish()
    const pod = await node.pod(volume.target)
    await node.restart()
    await pod.recovers()
    for (const [moment, call, when] of [
      ['before the new mount is attached', 'move_mount', 1],
      ['while it leaves its mount namespace', 'unshare', 2],
      ['after the new mount is attached', 'setns', 5],
      ['while it unmounts the dead one', 'umount2', 1],
    ] as const) {
      await t.test(moment, async () => {
        await node.plugin.kill()
        const traced = [
          'strace',
          '-qq',
          '-o',
          '/dev/null',
          '-e',
          `trace=${call}`,
          '-e',
          `inject=${call}:signal=SIGKILL:when=${when}`,
        ]
        const { signal, stderr } = await Plugin.fails(node.sandbox, {
          args: ['--restore-mounts=stack'],
          by: [...IN_CONTAINER, ...traced],
        })
        assert.equal(signal, 'SIGKILL', stderr)
        await node.plugin.restart()
        await pod.recovers()
        node.layers(volume, volume.target, 2)
        assert.equal(pod.layers(), 2)
      })
    }
    await node.end(volume, volume.target)
  })

  it('replaces the top where it may make no mount namespace, once eight mounts lie there', async () => {
    await using node = await StackingNode.start('--restore-mounts=stack')
    const volume = new Volume(node.sandbox, node.plugin, 'volume')
    await volume.publish()
    const counts: number[] = []
    await node.plugin.kill()
    // setns(2) and chroot(2) need the capability.
    const without = ['setpriv', '--bounding-set', '-sys_chroot', '--']
    using plugin = await Plugin.start(node.sandbox, { args: ['--restore-mounts=stack'], by: [...IN_CONTAINER, ...without] })
    for (let restart = 1; restart <= 8; restart++) {
      if (restart > 1) {
        await plugin.kill()
        await plugin.restart()
        await plugin.logged(
          `cannot take off the dead mounts below the new one at ${volume.target}, which stay until it is unpublished: setns: `,
        )
      }
      counts.push(layersAt(volume.target).length)
      assert.ok(await serves(node.sandbox, volume.target))
    }
    await plugin.kill()
    assert.deepEqual(counts, [2, 3, 4, 5, 6, 7, 8, 8])
    await node.plugin.restart()
    node.layers(volume, volume.target, 2)
    await node.end(volume, volume.target)
  })
})
