import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { Controller, Node, StorageHealthErrorType, VolumeHealthErrorType, VolumeUsage_Unit as Unit } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { mount, mountAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

interface Case {
  readonly title: string
  /** Breaks a volume that is staged and published at two targets. */
  readonly harm: (volume: Volume, sandbox: Sandbox, second: string) => Promise<unknown>
  /** The reasons, and a part of what the message of each says. */
  readonly expected: Readonly<Record<string, RegExp>>
}

const CASES: readonly Case[] = [
  { title: 'is well', harm: () => Promise.resolve(), expected: {} },
  { title: 'has a dead daemon', harm: (volume) => volume.killDaemon(), expected: { DaemonDead: /ENOTCONN.*NodeStageVolume/ } },
  {
    title: 'has a daemon that is stopped',
    harm: (volume) => volume.stopDaemon(),
    expected: { DaemonHung: /globalmount does not answer; resume or kill it/ },
  },
  {
    title: 'was unmounted from its staging path by hand',
    harm: (volume, sandbox) => sandbox.run('umount', [volume.staging]),
    expected: { StagingNotMounted: /nothing is mounted at .*globalmount/ },
  },
  {
    title: 'was unmounted from its staging path, and whose daemon is killed',
    harm: async (volume, sandbox) => {
      await sandbox.run('umount', [volume.staging])
      await volume.killDaemon()
    },
    expected: { StagingNotMounted: /nothing is mounted at .*globalmount/, StaleBind: /pod.*second.*restart the consumer/ },
  },
  {
    title: 'was unmounted from its staging path, and whose daemon is stopped',
    harm: async (volume, sandbox) => {
      const pid = volume.daemon()
      await sandbox.run('umount', [volume.staging])
      await stop(pid)
    },
    expected: { StagingNotMounted: /nothing is mounted at .*globalmount/, DaemonHung: /pod.*does not answer.*second/ },
  },
  {
    title: 'has a tmpfs on its staging path',
    harm: async (volume, sandbox) => await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', volume.staging]),
    expected: { StagingWrongFileSystem: /tmpfs.*unmount it/ },
  },
  {
    title: 'was mounted anew under its targets',
    harm: async (volume) => {
      await volume.killDaemon()
      await volume.stage()
    },
    expected: { StaleBind: /pod.*second.*unpublished and published again/ },
  },
  {
    title: 'has a target that was unmounted',
    harm: (volume, sandbox) => sandbox.run('umount', [volume.target]),
    expected: { TargetNotMounted: /pod\/mount.*node's own disk/ },
  },
  {
    title: 'has a target that is gone',
    harm: async (volume, sandbox) => {
      await sandbox.run('umount', [volume.target])
      rmSync(volume.target, { recursive: true })
    },
    expected: { TargetNotMounted: /pod\/mount/ },
  },
  {
    title: 'has a target with a tmpfs on it',
    harm: async (volume, sandbox) => await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', volume.target]),
    expected: { TargetWrongFileSystem: /pod\/mount/ },
  },
  {
    title: 'has two targets with the same trouble and a dead daemon',
    harm: async (volume, sandbox, second) => {
      await volume.killDaemon()
      for (const path of [volume.target, second]) await sandbox.run('umount', [path])
    },
    expected: { DaemonDead: /globalmount/, TargetNotMounted: /pod\/mount.*; .*second\/mount/ },
  },
  {
    title: 'has a file in the place of a target',
    harm: async (volume, sandbox) => {
      await sandbox.run('umount', [volume.target])
      rmSync(volume.target, { recursive: true })
      writeFileSync(volume.target, '')
    },
    expected: { PathUnreachable: /is a file/ },
  },
]

void test('NodeGetVolumeHealth gives each trouble its reason, once, and a message that says what to do', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  for (const [index, { title, harm, expected }] of CASES.entries()) {
    await t.test(`a volume that ${title}: ${Object.keys(expected).join(', ')}`, async () => {
      const volume = new Volume(sandbox, plugin, `volume-${index}`)
      const second = volume.another('second')
      await volume.publish()
      await volume.publish(second)
      await harm(volume, sandbox, second)
      const mounts = sandbox.mounts()
      const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, { volumeId: volume.id })
      assert.equal(volumeHealth?.volumeId, volume.id)
      assert.deepEqual(volumeHealth.healthStatuses.map(({ reason }) => reason).sort(), Object.keys(expected).sort())
      for (const { status, reason, message } of volumeHealth.healthStatuses) {
        assert.equal(status, VolumeHealthErrorType.INACCESSIBLE)
        assert.match(reason, /^([A-Z][a-z]+)+$/)
        assert.match(message, expected[reason] ?? /^$/)
      }
      assert.deepEqual(sandbox.mounts(), mounts, 'health changes nothing')
    })
  }
})

void test('health knows a volume that could not be mounted, until it can, and none that nobody has spoken of', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'mount-fail'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  assert.equal((await outcome(volume.reasons())).code, 'NOT_FOUND')
  assert.equal((await outcome(volume.stage())).code, 'INTERNAL')
  const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, { volumeId: volume.id })
  assert.deepEqual(
    volumeHealth?.healthStatuses.map(({ reason }) => reason),
    ['MountFailed'],
  )
  assert.match(volumeHealth.healthStatuses[0]?.message ?? '', /mount failed, as --inject mount-fail asks/)
  await volume.unstage()
  assert.equal((await outcome(volume.reasons())).code, 'NOT_FOUND')
})

void test('a target whose volume was unstaged behind its back is found, and one below a hung mount keeps nobody waiting', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const host = new Volume(sandbox, plugin, 'host')
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await sandbox.run('umount', [volume.target])
  await volume.unstage()
  assert.deepEqual(await volume.reasons(), ['StagingNotMounted', 'TargetNotMounted'])
  await volume.publish()
  await host.stage()
  mount('--bind', host.staging, volume.another('pod').replace(/\/mount$/, ''))
  await host.stopDaemon()
  assert.deepEqual(await volume.reasons(), ['PathUnreachable'])
  assert.deepEqual(await host.reasons(), ['DaemonHung'])
  const { code, details } = await outcome(volume.unstage())
  assert.equal(code, 'FAILED_PRECONDITION', details)
})

void test('NodeGetVolumeStats works on a live volume and answers for any other within 10 s', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  const stats = async (volumeId: string, volumePath: string): Promise<string> =>
    (await outcome(plugin.call(Node.method.nodeGetVolumeStats, { volumeId, volumePath }))).code
  for (const path of [volume.staging, volume.target, `${volume.target}/.`]) {
    const { usage } = await plugin.call(Node.method.nodeGetVolumeStats, { volumeId: volume.id, volumePath: path })
    assert.deepEqual(
      usage.map(({ unit }) => unit),
      [Unit.BYTES, Unit.INODES],
    )
    for (const { available, total, used } of usage) assert.ok(total >= used && used >= 0n && available >= 0n)
    assert.equal(usage[1]?.total, 2n)
  }
  const rows: readonly (readonly [string, () => Promise<unknown>, string, string, string])[] = [
    ['unknown volume', () => Promise.resolve(), 'unknown', volume.target, 'NOT_FOUND'],
    ['another path', () => Promise.resolve(), volume.id, sandbox.path, 'NOT_FOUND'],
    ['a relative path', () => Promise.resolve(), volume.id, 'some/path', 'NOT_FOUND'],
    ['no path', () => Promise.resolve(), volume.id, '', 'INVALID_ARGUMENT'],
    ['hung', () => volume.stopDaemon(), volume.id, volume.target, 'UNAVAILABLE'],
    ['hung, at the staging path', () => Promise.resolve(), volume.id, volume.staging, 'UNAVAILABLE'],
    ['dead', () => volume.killDaemon(), volume.id, volume.target, 'UNAVAILABLE'],
    [
      'not mounted, on a directory of the node’s own disk',
      () => sandbox.run('umount', [volume.target]),
      volume.id,
      volume.target,
      'NOT_FOUND',
    ],
  ]
  for (const [title, make, id, path, expected] of rows) {
    await t.test(`${title}: ${expected}`, async () => {
      await make()
      assert.equal(await stats(id, path), expected)
    })
  }
})

/** Runs the plugin in a mount namespace of its own whose /dev/fuse is as `make` leaves it. */
function withDevice(make: string): readonly string[] {
  const script = `mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && ${make} && exec "$@"`
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh']
}

void test('NodeGetStorageHealth speaks up where /dev/fuse cannot be used, and Stage says so too', async (t) => {
  for (const [title, make, message] of [
    ['missing', 'true', /\/dev\/fuse: ENOENT.*modprobe fuse/],
    ['without a driver behind it', 'mknod /dev/fuse c 10 199', /\/dev\/fuse: E(NODEV|NXIO)/],
    ['a directory', 'mkdir /dev/fuse', /\/dev\/fuse: EISDIR/],
  ] as const) {
    await t.test(title, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, { by: withDevice(make) })
      const { backendHealth } = await plugin.call(Node.method.nodeGetStorageHealth)
      assert.deepEqual(
        backendHealth.map(({ status, reason }) => ({ status, reason })),
        [{ status: StorageHealthErrorType.STORAGE_UNREACHABLE, reason: 'FuseDeviceUnusable' }],
      )
      assert.match(backendHealth[0]?.message ?? '', message)
      const volume = new Volume(sandbox, plugin, 'volume')
      const { code, details } = await outcome(volume.stage())
      assert.notEqual(code, 'OK')
      assert.match(details, /\/dev\/fuse|mount/)
      assert.deepEqual(await volume.reasons(), ['MountFailed'])
    })
  }
})

void test('NodeGetStorageHealth has nothing to say where /dev/fuse works', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  assert.deepEqual((await plugin.call(Node.method.nodeGetStorageHealth)).backendHealth, [])
})

void test('the Controller’s health speaks of records only', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--role', 'identity,node,controller'] })
  const volumeCapabilities = [{ accessType: { case: 'mount', value: {} }, accessMode: { mode: 1 } }] as const
  const { volume: made } = await plugin.call(Controller.method.createVolume, {
    name: 'made',
    volumeCapabilities: [...volumeCapabilities],
  })
  const volumeId = made?.volumeId ?? ''
  const volume = new Volume(sandbox, plugin, volumeId)
  await volume.publish()
  await volume.killDaemon()
  assert.deepEqual(await volume.reasons(), ['DaemonDead'])
  const { volumeHealth } = await plugin.call(Controller.method.controllerGetVolumeHealth, { volumeId })
  assert.deepEqual(
    { volumeId: volumeHealth?.volumeId, healthStatuses: volumeHealth?.healthStatuses },
    { volumeId, healthStatuses: [] },
  )
  const list = Controller.method.controllerListVolumeHealth
  assert.deepEqual((await plugin.call(list)).entries, [])
  assert.equal((await outcome(plugin.call(list, { startingToken: 'bad' }))).code, 'ABORTED')
  assert.equal((await outcome(plugin.call(list, { maxEntries: -1 }))).code, 'INVALID_ARGUMENT')
  const get = Controller.method.controllerGetVolumeHealth
  assert.equal((await outcome(plugin.call(get, { volumeId: 'unknown' }))).code, 'NOT_FOUND')
  assert.equal((await outcome(plugin.call(get))).code, 'INVALID_ARGUMENT')
})

/** NodeGetVolumeHealth as the kubelet asks for one pod. */
async function healthAt(plugin: Plugin, volume: Volume, asked: { target?: string; staging?: string }): Promise<string[]> {
  const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, {
    volumeId: volume.id,
    volumePublishPath: asked.target ?? '',
    stagingTargetPath: asked.staging ?? '',
  })
  return (volumeHealth?.healthStatuses ?? []).map(({ reason }) => reason).sort()
}

void test('health of one target says nothing of another consumer’s', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const { staging } = volume
  const [well, unmounted, refused] = [volume.target, volume.another('second'), volume.another('third')]
  for (const target of [well, unmounted]) await volume.publish(target)
  await sandbox.run('umount', [unmounted])
  mount('-t', 'tmpfs', '-o', 'ro', 'tmpfs', dirname(refused))
  assert.equal((await outcome(volume.publish(refused))).code, 'UNAVAILABLE')

  assert.deepEqual(await healthAt(plugin, volume, { target: well, staging }), [])
  assert.deepEqual(await healthAt(plugin, volume, { target: unmounted, staging }), ['TargetNotMounted'])
  assert.deepEqual(await healthAt(plugin, volume, { target: refused, staging }), ['MountFailed'])
  assert.deepEqual(await healthAt(plugin, volume, { staging }), [])
  assert.deepEqual(await healthAt(plugin, volume, {}), ['MountFailed', 'TargetNotMounted'])
  const never = await outcome(healthAt(plugin, volume, { target: volume.another('fourth'), staging }))
  assert.equal(never.code, 'NOT_FOUND')
  await volume.killDaemon()
  assert.deepEqual(await healthAt(plugin, volume, { target: well, staging }), ['DaemonDead'])
  assert.deepEqual(await healthAt(plugin, volume, { target: refused, staging }), ['MountFailed'])
  await volume.unpublish(refused)
  assert.equal((await outcome(healthAt(plugin, volume, { target: refused, staging }))).code, 'NOT_FOUND')
  assert.deepEqual(await healthAt(plugin, volume, {}), ['DaemonDead', 'TargetNotMounted'])
})

void test('a failure to stage is that of its staging path, and of each target that is to be bound from it', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'mount-fail'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  const { staging, target } = volume
  assert.equal((await outcome(volume.stage())).code, 'INTERNAL')
  for (const asked of [{ staging }, { target, staging }, {}])
    assert.deepEqual(await healthAt(plugin, volume, asked), ['MountFailed'], JSON.stringify(asked))
  const elsewhere = sandbox.directory('elsewhere')
  for (const asked of [{ target }, { staging: elsewhere }, { target, staging: elsewhere }])
    assert.equal((await outcome(healthAt(plugin, volume, asked))).code, 'NOT_FOUND', JSON.stringify(asked))
})

void test('a staging path that is not that of the target makes no difference: the target decides', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const { target } = volume
  await volume.publish()
  const staging = sandbox.directory('elsewhere')
  assert.deepEqual(await healthAt(plugin, volume, { target, staging }), [])
  await volume.killDaemon()
  assert.deepEqual(await healthAt(plugin, volume, { target, staging }), ['DaemonDead'])
})

void test('a target whose own session still answers is well, whatever its staging path shows', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const { staging, target } = volume
  await volume.publish()
  const daemon = volume.daemon()
  const { device } = mountAt(target)
  await sandbox.run('umount', [staging])
  assert.deepEqual(await healthAt(plugin, volume, { target, staging }), [])
  await volume.stage()
  assert.notEqual(mountAt(staging).device, device)
  assert.ok(await serves(sandbox, target))
  assert.deepEqual(await healthAt(plugin, volume, { target, staging }), [])
  assert.deepEqual(await volume.reasons(), [])
  process.kill(daemon, 'SIGKILL')
  // Until its last thread has ended, the session does not answer.
  await eventually('its daemon is gone', () => processStat(daemon) === undefined)
  assert.deepEqual(await healthAt(plugin, volume, { target, staging }), ['StaleBind'])
  assert.deepEqual(await healthAt(plugin, volume, { staging }), [])
})

void test('health of a path that the volume is not at is NOT_FOUND, and of one that is no path INVALID_ARGUMENT', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  for (const [asked, code] of [
    [{ volumePublishPath: volume.another('second') }, 'NOT_FOUND'],
    [{ volumePublishPath: volume.staging }, 'NOT_FOUND'],
    [{ stagingTargetPath: volume.target }, 'NOT_FOUND'],
    [{ volumePublishPath: 'pods/mount' }, 'INVALID_ARGUMENT'],
    [{ stagingTargetPath: 'globalmount' }, 'INVALID_ARGUMENT'],
  ] as const) {
    const answer = await outcome(plugin.call(Node.method.nodeGetVolumeHealth, { volumeId: volume.id, ...asked }))
    assert.equal(answer.code, code, JSON.stringify(asked))
  }
})

void test('a message of health has at most 1024 bytes of whole characters', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const targets = Array.from({ length: 8 }, (_, index) => volume.another(`${'ü'.repeat(100)}${'x'.repeat(index)}`))
  for (const target of targets) await volume.publish(target)
  for (const target of targets) await sandbox.run('umount', [target])
  const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, { volumeId: volume.id })
  const [entry, ...others] = volumeHealth?.healthStatuses ?? []
  assert.equal(others.length, 0)
  assert.equal(entry?.reason, 'TargetNotMounted')
  const bytes = Buffer.byteLength(entry.message)
  assert.ok(bytes > 1020 && bytes <= 1024, `${bytes} bytes`)
  assert.match(entry.message, /^nothing is mounted at .*…$/)
  assert.doesNotMatch(entry.message, /\ufffd/)
})
