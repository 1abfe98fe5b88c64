import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { outcome, untilDone } from '../support/csi-client.ts'
import { layersAt, mount, mountAt, read, serves } from '../support/mounts.ts'
import { mountCapability, Plugin, SHARED_DAEMON } from '../support/plugin.ts'
import { argumentsOf, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

const DRIVER_LINES = 2

/** The log's lines from the attempt to restore to the socket. */
function restoreLines(plugin: Plugin): string[] {
  const lines = plugin.lines()
  return lines
    .slice(DRIVER_LINES, lines.findIndex((line) => line.startsWith('Listening')) + 1)
    .filter((line) => !line.startsWith('dummy-fuse['))
}

/** What restoring alone says. On a busy machine the socket is opened meanwhile. */
function restoringLines(plugin: Plugin): string[] {
  const others = /^(Driver|dummy-fuse\[|Registering|Serving|Listening|All volumes)/
  return plugin.lines().filter((line) => !others.test(line))
}

/** The files of the mount cache, as paths. */
function files(plugin: Plugin): string[] {
  return plugin.entries().map((entry) => join(plugin.stateDir, 'mountcache', entry))
}

/** What a reboot leaves of a killed plugin's volumes: entries of another boot, and no mount. */
async function reboot(sandbox: Sandbox, plugin: Plugin): Promise<void> {
  await plugin.kill()
  for (const path of sandbox.mounts()) await sandbox.run('umount', ['-l', path])
  for (const file of files(plugin)) {
    const entry = JSON.parse(readFileSync(file, 'utf8')) as object
    writeFileSync(file, JSON.stringify({ ...entry, bootId: '00000000-0000-0000-0000-000000000000' }))
  }
}

void test('a plugin with nothing to restore says so, in the words of the original', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--role', 'identity,node'] })
  assert.deepEqual(restoreLines(plugin), [
    'Attempting to re-mount volumes',
    `No mount cache entries in ${plugin.stateDir}/mountcache/staged`,
    `No mount cache entries in ${plugin.stateDir}/mountcache/published`,
    'Registering Identity server',
    'Registering Node server',
    'Registering Controller server',
    `Listening for connections on &net.UnixAddr{Name:"${plugin.socket}", Net:"unix"}`,
  ])
})

void test('a killed plugin’s mounts are restored in the original’s order: staged, then published', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.stage()
  await volume.publish(volume.target, true)
  const [stagedFile, publishedFile] = files(plugin)
  await plugin.logged(`Saved stage mount entry to ${stagedFile ?? ''}\n`)
  await plugin.logged(`Saved publish mount entry to ${publishedFile ?? ''}\n`)
  const entries = files(plugin).map((file) => readFileSync(file, 'utf8'))
  const before = mountAt(volume.target).device
  await plugin.kill()
  await plugin.restart()
  assert.deepEqual(restoringLines(plugin), [
    'Attempting to re-mount volumes',
    `umount ${volume.staging} (dead)`,
    `exec dummy-fuse [-f --die-with-parent ${volume.staging}]`,
    `successfully remounted ${volume.staging}`,
    `umount ${volume.target} (dead)`,
    `successfully remounted ${volume.target} ${volume.staging}`,
  ])
  assert.ok(await serves(sandbox, volume.target))
  assert.ok(mountAt(volume.target).readonly)
  assert.equal(layersAt(volume.staging).length, 1)
  assert.equal(layersAt(volume.target).length, 1)
  assert.deepEqual(
    files(plugin).map((file) => readFileSync(file, 'utf8')),
    // The entry of a target remembers the session that it had.
    entries.map((entry) =>
      entry.replace(`"device":"${before}"}`, `"device":"${mountAt(volume.target).device}","replaced":["${before}"]}`),
    ),
  )
  for (const file of files(plugin)) assert.equal(statSync(file).mode & 0o777, 0o600)
  await volume.unpublish()
  await volume.unstage()
  assert.deepEqual(plugin.entries(), [])
})

void test('the socket is opened a second after the start, and a call for a volume that is still being restored waits for that one alone', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await plugin.kill()
  const began = performance.now()
  await plugin.restartUnrestored(['--inject', 'mount-delay=12', '--call-deadline', '60'])
  assert.ok(performance.now() - began >= 1000, 'the socket is not opened before')
  assert.match(plugin.log(), /Serving while 1 volumes are still being re-mounted/)
  await plugin.call(Node.method.nodeGetCapabilities)
  const other = await outcome(plugin.call(Node.method.nodeGetVolumeHealth, { volumeId: 'another' }))
  assert.equal(other.code, 'NOT_FOUND')
  assert.ok(!plugin.log().includes('successfully remounted'), plugin.log())
  const { id: volumeId, staging: stagingTargetPath, target: targetPath, capability: volumeCapability } = volume
  const request = { volumeId, stagingTargetPath, targetPath, volumeCapability }
  await plugin.client.call(Node.method.nodePublishVolume, request, 60_000)
  await plugin.logged(`successfully remounted ${volume.staging}`)
  assert.ok(await serves(sandbox, volume.target))
  await plugin.logged('All volumes have been re-mounted')
  assert.equal(layersAt(volume.staging).length, 1)
  assert.equal(layersAt(volume.target).length, 1)
})

void test('a volume that a call waits for is restored before those that nobody waits for', async () => {
  await using sandbox = new Sandbox()
  // The call waits for the start that is under way and for its own, each with a delay.
  using plugin = await Plugin.start(sandbox, { callDeadline: 60 })
  // More than are restored at the same time: the last one has not begun.
  const volumes = Array.from({ length: 18 }, (_, at) => new Volume(sandbox, plugin, `volume-${String(at).padStart(2, '0')}`))
  for (const volume of volumes) await volume.stage()
  await plugin.kill()
  await plugin.restartUnrestored(['--starts-at-once', '1', '--inject', 'mount-delay=0.3'])
  const last = volumes.at(-1)
  await last?.stage()
  // One start after the other, each with its delay.
  await eventually('all are restored', () => plugin.log().includes('All volumes have been re-mounted'), 120_000)
  const restored = plugin.lines().filter((line) => line.startsWith('successfully remounted'))
  assert.equal(restored.length, volumes.length)
  const place = restored.indexOf(`successfully remounted ${last?.staging ?? ''}`)
  assert.ok(place >= 0 && place < volumes.length - 3, `it is number ${place + 1} of ${restored.length}`)
})

void test('a volume that is unpublished and unstaged while it is restored is not mounted first, and its other target is restored', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const [gone, stays] = [new Volume(sandbox, plugin, 'gone'), new Volume(sandbox, plugin, 'stays')]
  const second = stays.another('second')
  await gone.publish()
  await stays.publish()
  await stays.publish(second)
  await plugin.kill()
  await plugin.restartUnrestored(['--inject', 'mount-delay=15', '--call-deadline', '60'])
  await gone.unpublish()
  await gone.unstage()
  await stays.unpublish()
  assert.ok(!plugin.log().includes('successfully remounted'), plugin.log())
  assert.deepEqual(layersAt(gone.staging), [])
  await eventually('the rest is restored', () => plugin.log().includes('All volumes have been re-mounted'), 60_000)
  assert.ok(await serves(sandbox, second))
  assert.deepEqual([layersAt(gone.staging), layersAt(gone.target), layersAt(stays.target)], [[], [], []])
  assert.equal(plugin.daemons().filter((pid) => argumentsOf(pid).at(-1) === gone.staging).length, 0)
  assert.deepEqual(
    plugin.entries().map((entry) => entry.replace(/-.*/, '')),
    ['staged/stays', 'published/stays'],
  )
  await stays.unpublish(second)
  await stays.unstage()
})

void test('a call for a volume that is not restored before the deadline of its client is answered UNAVAILABLE in time', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await plugin.kill()
  // The client's deadline is so long that the plugin has the whole second of its margin, and the mount comes later still.
  await plugin.restartUnrestored(['--inject', 'mount-delay=12', '--call-deadline', '60'])
  const request = { volumeId: volume.id, stagingTargetPath: volume.staging, volumeCapability: volume.capability }
  const { code, details } = await outcome(plugin.client.call(Node.method.nodeStageVolume, request, 6000))
  assert.equal(code, 'UNAVAILABLE', details)
  assert.match(details, /volume volume is being mounted again after the plugin's start; call again/)
  await plugin.logged('All volumes have been re-mounted')
  assert.ok(await serves(sandbox, volume.target))
})

void test('--no-restore-mounts leaves dead mounts and their entries as they are, and the next Publish repairs them', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await plugin.kill()
  const entries = plugin.entries()
  await plugin.restart(['--no-restore-mounts'])
  assert.ok(!plugin.log().includes('re-mount'), plugin.log())
  assert.match((await read(sandbox, volume.target)).stderr, /Transport endpoint/)
  assert.deepEqual(plugin.entries(), entries)
  assert.deepEqual(await volume.reasons(), ['DaemonDead'])
  await volume.publish()
  assert.ok(await serves(sandbox, volume.target))
})

void test('a dead mount that is busy is detached: its holder keeps a dead file, everybody else gets a live one', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  const holder = sandbox.start('sh', ['-c', 'exec 3<dummy-file.txt; echo held; read line; cat <&3'], { cwd: volume.target })
  await eventually('the file is held', () => holder.output().includes('held'))
  await plugin.kill()
  await plugin.restart()
  assert.ok(await serves(sandbox, volume.target))
  assert.equal(layersAt(volume.target).length, 1)
  holder.child.stdin?.end('go on\n')
  assert.match((await holder.ended).stderr, /Transport endpoint is not connected/)
})

void test('one volume that cannot be restored is reported and keeps its entry, and the others are restored', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volumes = Array.from({ length: 6 }, (_, index) => new Volume(sandbox, plugin, `volume-${index}`))
  for (const volume of volumes) await volume.publish()
  const [first, second, ...others] = volumes as [Volume, Volume, ...Volume[]]
  await plugin.kill()
  await sandbox.run('umount', ['-l', first.staging])
  mount('-t', 'tmpfs', 'tmpfs', first.staging)
  await sandbox.run('umount', ['-l', second.target])
  rmSync(second.target, { recursive: true })
  writeFileSync(second.target, 'in the way')
  const entries = plugin.entries()
  await plugin.restart()
  const failed = plugin.lines().filter((line) => line.startsWith('failed to remount'))
  // The target of the first cannot be bound either.
  assert.equal(failed.filter((line) => line.includes(`${first.staging}: ${first.staging} is a mount point of tmpfs`)).length, 2)
  assert.equal(failed.filter((line) => line.includes(`${second.target} is a file`)).length, 1)
  for (const other of others) assert.ok(await serves(sandbox, other.target))
  assert.deepEqual(plugin.entries(), entries)
  assert.deepEqual(await first.reasons(), ['StagingWrongFileSystem', 'StaleBind'])
})

/** Ways for an entry to be damaged, and what the log says of it. */
const DAMAGE: Readonly<Record<string, { readonly make: (file: string) => void; readonly says: RegExp }>> = {
  empty: {
    make: (file) => {
      writeFileSync(file, '')
    },
    says: /JSON/,
  },
  truncated: {
    make: (file) => {
      writeFileSync(file, readFileSync(file, 'utf8').slice(0, -20))
    },
    says: /JSON/,
  },
  'no JSON': {
    make: (file) => {
      writeFileSync(file, Buffer.from([0xff, 0xfe, 0, 1, 2, 3]))
    },
    says: /JSON/,
  },
  null: {
    make: (file) => {
      writeFileSync(file, 'null')
    },
    says: /not a JSON object/,
  },
  'a list': {
    make: (file) => {
      writeFileSync(file, '[]')
    },
    says: /not a JSON object/,
  },
  'of another version': {
    make: (file) => {
      change(file, { version: 2 })
    },
    says: /version 2 is not 1/,
  },
  'of another kind': {
    make: (file) => {
      change(file, { kind: 'other' })
    },
    says: /kind "other"/,
  },
  'without its capability': {
    make: (file) => {
      change(file, { capability: undefined })
    },
    says: /capability/,
  },
  'with a number for an id': {
    make: (file) => {
      change(file, { volumeId: 7 })
    },
    says: /volumeId/,
  },
  'for the root directory': {
    make: (file) => {
      change(file, { stagingPath: '/' })
    },
    says: /stagingPath/,
  },
  'for a relative path': {
    make: (file) => {
      change(file, { stagingPath: 'etc' })
    },
    says: /stagingPath/,
  },
  'for a path with dots': {
    make: (file) => {
      change(file, { stagingPath: '/tmp/../etc' })
    },
    says: /stagingPath/,
  },
  'of another volume': {
    make: (file) => {
      change(file, { volumeId: 'foreign' })
    },
    says: /another volume or path/,
  },
  'of another path': {
    make: (file) => {
      change(file, { stagingPath: '/etc', targetPath: '/etc' })
    },
    says: /another volume or path/,
  },
  'a directory': {
    make: (file) => {
      rmSync(file)
      mkdirSync(join(file, 'below'), { recursive: true })
    },
    says: /no regular file/,
  },
  'a symbolic link': {
    make: (file) => {
      rmSync(file)
      symlinkSync('/etc/passwd', file)
    },
    says: /no regular file/,
  },
}

function change(file: string, part: object): void {
  writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), ...part }))
}

void test('a damaged or foreign entry is reported, kept aside and skipped, and never fatal', async (t) => {
  await using sandbox = new Sandbox()
  // The entries are the same in each host mode, and one process serves so many volumes sooner.
  using plugin = await Plugin.start(sandbox, SHARED_DAEMON)
  const well = new Volume(sandbox, plugin, 'well')
  await well.publish()
  const wellEntries = plugin.entries()
  const cases = Object.entries(DAMAGE).flatMap(([what, damage]) =>
    ['staged', 'published'].map((kind) => ({ what, kind, ...damage, volume: new Volume(sandbox, plugin, `${kind}-${what}`) })),
  )
  for (const { volume } of cases) await volume.publish()
  await plugin.kill()
  const damaged = cases.map(({ kind, make, volume }) => {
    const file = files(plugin).find((one) => one.includes(`/${kind}/${volume.id.replaceAll(' ', '_')}-`)) ?? ''
    make(file)
    return file
  })
  await plugin.restart()
  for (const [index, { what, kind, says, volume }] of cases.entries()) {
    await t.test(`a ${kind} entry that is ${what}`, async () => {
      const file = damaged[index] ?? ''
      const line = plugin.lines().find((one) => one.includes(`Skipped damaged mount cache entry ${file}:`)) ?? plugin.log()
      assert.match(line, says)
      assert.ok(line.endsWith(`kept as ${file}.damaged`), line)
      assert.ok(lstatSync(`${file}.damaged`))
      await volume.publish()
      assert.ok(await serves(sandbox, volume.target), 'publishing mends it')
      await volume.unpublish()
      await volume.unstage()
      assert.deepEqual([...layersAt(volume.staging), ...layersAt(volume.target)], [])
    })
  }
  assert.deepEqual(
    plugin.entries().filter((entry) => !entry.endsWith('.damaged')),
    wellEntries,
  )
  assert.ok(await serves(sandbox, well.target))
  assert.deepEqual(layersAt('/etc'), [])
})

void test('files that are no entries are kept aside, a named pipe among them keeps nobody waiting, and half-written ones go', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await plugin.kill()
  const [staged = ''] = files(plugin)
  const folder = dirname(staged)
  writeFileSync(join(folder, 'README'), 'notes of an administrator')
  writeFileSync(`${staged}.0badcafe.partial`, '{"version":1,')
  writeFileSync(join(folder, 'copy-of-an-entry.json'), readFileSync(staged))
  await sandbox.run('mkfifo', [join(folder, 'pipe')])
  await plugin.restart()
  assert.deepEqual(
    readdirSync(folder).filter((name) => !staged.endsWith(name)),
    ['README.damaged', 'copy-of-an-entry.json.damaged', 'pipe.damaged'],
  )
  assert.ok(await serves(sandbox, volume.target))
  await plugin.kill()
  await plugin.restart()
  assert.ok(!plugin.log().includes('damaged'), 'what was kept aside is reported once')
})

void test('after a reboot entries are replayed where the target’s parent is, and dropped with a line where it is not', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const kept = new Volume(sandbox, plugin, 'kept')
  const gone = new Volume(sandbox, plugin, 'gone')
  await kept.publish()
  await gone.publish()
  await reboot(sandbox, plugin)
  for (const path of [gone.staging, gone.target]) rmSync(dirname(path), { recursive: true })
  await plugin.restart()
  const dropped = plugin.lines().filter((line) => line.startsWith('Dropped'))
  assert.deepEqual(
    dropped,
    [gone.staging, gone.target].map(
      (path) => `Dropped mount cache entry of ${path}: the machine was rebooted, and ${dirname(path)} is gone`,
    ),
  )
  assert.ok(await serves(sandbox, kept.target))
  assert.equal(plugin.entries().length, 2)
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  for (const file of files(plugin)) assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { bootId: string }).bootId, bootId)
  assert.equal((await outcome(gone.reasons())).code, 'NOT_FOUND')
  assert.deepEqual(await kept.reasons(), [])
})

void test('after a reboot a volume that is published nowhere is ended, and staged again when it is asked for', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const [staged, unpublished] = ['staged', 'unpublished'].map((id) => new Volume(sandbox, plugin, id)) as [Volume, Volume]
  await staged.stage()
  await unpublished.publish()
  await reboot(sandbox, plugin)
  rmSync(dirname(unpublished.target), { recursive: true })
  await plugin.restart()
  for (const { id, staging } of [staged, unpublished])
    await eventually(`${id} is ended`, () =>
      plugin.lines().includes(`Ended the volume ${id} at ${staging}: the machine was rebooted, and it is published nowhere`),
    )
  assert.deepEqual([sandbox.mounts(), plugin.entries()], [[], []])
  assert.equal((await outcome(staged.reasons())).code, 'NOT_FOUND')
  await staged.publish()
  assert.ok(await serves(sandbox, staged.target))
})

void test('without a reboot a volume that is published nowhere is mounted again', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'staged')
  await volume.stage()
  await plugin.kill()
  for (const path of sandbox.mounts()) await sandbox.run('umount', ['-l', path])
  await plugin.restart()
  assert.deepEqual(sandbox.mounts(), [volume.staging])
})

void test('without a reboot an entry is replayed although the target’s parent is gone', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await plugin.kill()
  for (const path of [volume.target, volume.staging]) await sandbox.run('umount', [path])
  renameSync(dirname(volume.target), `${dirname(volume.target)}-moved`)
  await plugin.restart()
  assert.ok(await serves(sandbox, volume.target), plugin.log())
})

void test('entries hold no secret, no token and no context', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const hidden = {
    secrets: { password: 'SENSITIVE-1' },
    publishContext: { key: 'SENSITIVE-2' },
    volumeContext: { 'csi.storage.k8s.io/serviceAccount.tokens': 'SENSITIVE-3', 'csi.storage.k8s.io/pod.name': 'SENSITIVE-4' },
  }
  const common = { volumeId: volume.id, stagingTargetPath: volume.staging, volumeCapability: mountCapability(), ...hidden }
  await plugin.call(Node.method.nodeStageVolume, common)
  await plugin.call(Node.method.nodePublishVolume, { ...common, targetPath: volume.target })
  const { stdout } = await sandbox.run('grep', ['-r', 'SENSITIVE', plugin.stateDir])
  assert.equal(stdout, '')
  assert.equal(files(plugin).length, 2)
})

void test('a state folder that cannot be used ends the plugin with 1 and a line that names it', async (t) => {
  await using sandbox = new Sandbox()
  const file = join(sandbox.path, 'file')
  writeFileSync(file, '')
  const readonly = sandbox.directory('readonly')
  mount('-t', 'tmpfs', '-o', 'ro', 'tmpfs', readonly)
  for (const [title, folder] of [
    ['a file', file],
    ['below a file', join(file, 'below')],
    ['on a read-only file system', join(readonly, 'state')],
  ] as const) {
    await t.test(title, async () => {
      const { status, stderr } = await Plugin.fails(sandbox, { args: ['--state-dir', folder] })
      assert.equal(status, 1)
      const last = stderr.trimEnd().split('\n').at(-1) ?? ''
      assert.match(last, /^dummy-fuse-csi: cannot use the state folder /)
      assert.ok(last.includes(folder))
    })
  }
})

void test('a second plugin on the same state folder is refused, and takes nothing from the first', async () => {
  await using sandbox = new Sandbox()
  using first = await Plugin.start(sandbox, { name: 'first' })
  const volume = new Volume(sandbox, first, 'volume')
  await volume.publish()
  const session = mountAt(volume.target).device
  const { status, stderr } = await Plugin.fails(sandbox, { name: 'second', args: ['--state-dir', `${first.stateDir}/.`] })
  assert.equal(status, 1)
  assert.ok(stderr.includes(`another plugin uses the state folder ${first.stateDir}`), stderr)
  assert.equal(mountAt(volume.target).device, session)
  await first.kill()
  using second = await Plugin.start(sandbox, { name: 'second', args: ['--state-dir', first.stateDir] })
  assert.deepEqual(await second.reasons('volume'), [])
})

void test('ten plugins started at once on one state folder and socket: one serves, and mounts each volume once', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await plugin.kill()
  // The one that serves does not fail: it is killed at the end of the test.
  const others = Array.from({ length: 10 }, () => Plugin.fails(sandbox, {}, 300_000))
  const first = await Promise.race(others)
  assert.equal(first.status, 1)
  const ended = new Set<unknown>()
  for (const other of others) void other.then((result) => ended.add(result))
  await eventually('all but one have ended', () => ended.size === 9, 120_000)
  await untilDone(() => volume.publish())
  assert.equal(layersAt(volume.staging).length, 1)
  assert.equal(layersAt(volume.target).length, 1)
  assert.ok(await serves(sandbox, volume.target))
  assert.equal(plugin.daemons().length, 1)
})
