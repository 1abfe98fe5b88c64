import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { layersAt, mountAt, read, serves } from '../support/mounts.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { argumentsOf, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** A process's group and session (proc_pid_stat(5), fields 5 and 6). */
function groupOf(pid: number): { readonly group: number; readonly session: number } {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [, , group, session] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { group: Number(group), session: Number(session) }
}

const ENDINGS = [
  { title: 'killed', end: async (plugin: Plugin) => await plugin.kill(), stopped: false },
  { title: 'killed while the daemon is stopped', end: async (plugin: Plugin) => await plugin.kill(), stopped: true },
  { title: 'told to end', end: async (plugin: Plugin) => await plugin.stop(), stopped: false },
  { title: 'told to end while the daemon is stopped', end: async (plugin: Plugin) => await plugin.stop(), stopped: true },
] as const

void test('a child daemon is in the plugin’s process group and cgroup and dies with it, unmounting nothing', async (t) => {
  for (const { title, end, stopped } of ENDINGS) {
    await t.test(`when the plugin is ${title}`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox)
      const volumes = ['one', 'two'].map((id) => new Volume(sandbox, plugin, id))
      for (const volume of volumes) await volume.publish()
      const pids = volumes.map((volume) => volume.daemon())
      for (const pid of pids) {
        assert.deepEqual(groupOf(pid), groupOf(plugin.pid))
        assert.equal(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), readFileSync(`/proc/${plugin.pid}/cgroup`, 'utf8'))
        if (stopped) process.kill(pid, 'SIGSTOP')
      }
      const mounts = sandbox.mounts()
      await end(plugin)
      await eventually('the daemons are gone', () => pids.every((pid) => processStat(pid) === undefined))
      assert.deepEqual(sandbox.mounts(), mounts)
      for (const { target, staging } of volumes) {
        for (const path of [target, staging])
          assert.match((await read(sandbox, path)).stderr, /Transport endpoint is not connected/)
      }
    })
  }
})

void test('a terminal’s Ctrl-C for the plugin’s group leaves the end of the daemons to the plugin', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { by: ['setsid', '--wait'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.stage()
  const daemon = volume.daemon()
  process.kill(-groupOf(daemon).group, 'SIGINT')
  await eventually('the daemon is gone', () => processStat(daemon) === undefined)
  assert.equal(layersAt(volume.staging).length, 1, 'the daemon unmounted before it died')
})

void test('a child daemon that dies alone stays dead until the next call for its volume', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const other = new Volume(sandbox, plugin, 'other')
  await volume.publish()
  await other.publish()
  const session = mountAt(volume.staging).device
  await volume.killDaemon()
  assert.match((await read(sandbox, volume.target)).stderr, /Transport endpoint is not connected/)
  await other.publish()
  assert.deepEqual(await volume.reasons(), ['DaemonDead'])
  assert.equal(mountAt(volume.staging).device, session)
  assert.equal(plugin.daemons().length, 1)
  await volume.stage()
  assert.ok(await serves(sandbox, volume.staging))
  assert.deepEqual(await volume.reasons(), ['StaleBind'])
  await volume.publish()
  assert.ok(await serves(sandbox, volume.target))
})

void test('a child daemon that dies alone is served again by the next start of the plugin', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await volume.killDaemon()
  await plugin.stop()
  await plugin.restart()
  assert.ok(await serves(sandbox, volume.target))
})

void test('a detached daemon survives the plugin’s end, and the restarted plugin knows it again', async (t) => {
  for (const how of ['kill', 'stop'] as const) {
    await t.test(how, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] })
      const volume = new Volume(sandbox, plugin, 'volume')
      await volume.publish()
      const daemon = volume.daemon()
      assert.deepEqual(groupOf(daemon), { group: daemon, session: daemon })
      const session = mountAt(volume.target).device
      // A consumer that reads all the while sees no error.
      const consumer = sandbox.start('sh', ['-c', `while cat ${volume.target}/dummy-file.txt; do sleep 0.01; done`])
      if (how === 'kill') await plugin.kill()
      else await plugin.stop()
      assert.ok(await serves(sandbox, volume.target))
      await plugin.restart()
      assert.equal(volume.daemon(), daemon)
      assert.ok(plugin.lines().includes(`still mounted ${volume.staging}`), plugin.log())
      assert.ok(plugin.lines().includes(`still mounted ${volume.target} ${volume.staging}`), plugin.log())
      assert.deepEqual(await volume.reasons(), [])
      await volume.stage()
      await volume.publish()
      assert.equal(mountAt(volume.target).device, session)
      assert.equal(consumer.child.exitCode, null, consumer.output())
      consumer.child.kill('SIGKILL')
      await consumer.ended
      await volume.unpublish()
      await volume.unstage()
      assert.deepEqual(argumentsOf(daemon), [])
      assert.deepEqual(sandbox.mounts(), [])
      assert.deepEqual(plugin.entries(), [])
    })
  }
})

void test('a detached daemon that dies or hangs while there is no plugin is replaced at the next start', async (t) => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    await t.test(signal, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] })
      const volume = new Volume(sandbox, plugin, 'volume')
      await volume.publish()
      const daemon = volume.daemon()
      await plugin.kill()
      process.kill(daemon, signal)
      await plugin.restart()
      assert.notEqual(volume.daemon(), daemon)
      assert.deepEqual(argumentsOf(daemon), [])
      assert.ok(await serves(sandbox, volume.target))
      await volume.unpublish()
      await volume.unstage()
      assert.deepEqual([...plugin.daemons(), ...sandbox.mounts()], [])
    })
  }
})

void test('a plugin that is restarted with another --fuse-host goes on with the volumes there are', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  const daemon = volume.daemon()
  await plugin.kill()
  await plugin.restart(['--fuse-host', 'child'])
  assert.deepEqual(await volume.reasons(), [])
  await volume.unpublish()
  await volume.unstage()
  assert.deepEqual(argumentsOf(daemon), [])
})

void test('a daemon at the same path in another mount namespace is left alone', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const staging = sandbox.directory('staging')
  const container = sandbox.start('unshare', ['--mount', '--propagation', 'private', DUMMY_FUSE, '-f', staging])
  const serving = (): boolean => readFileSync(`/proc/${container.pid}/mountinfo`, 'utf8').includes(`${staging} rw`)
  await eventually('the container has its mount', serving)
  // Of a volume that this plugin does not know, it can only look for the daemon.
  await plugin.unstage('volume', staging)
  await plugin.stage('volume', staging)
  await plugin.unstage('volume', staging)
  assert.ok(processStat(container.pid), container.output())
  assert.ok(serving())
})
