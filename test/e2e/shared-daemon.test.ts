import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { CsiClient, outcome, untilDone } from '../support/csi-client.ts'
import { mountAt, read, serves } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { argumentsOf, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

const HOSTS = ['child', 'detached'] as const

/** The first call starts dummy-fused, which may take longer than the ten seconds of a call on a busy machine. `args` may name another --call-deadline. */
async function start(sandbox: Sandbox, host: (typeof HOSTS)[number], args: readonly string[] = []): Promise<Plugin> {
  return await Plugin.start(sandbox, { callDeadline: 60, args: ['--fuse-host', host, '--daemons', 'shared', ...args] })
}

function volumesOf(sandbox: Sandbox, plugin: Plugin, ...ids: string[]): Volume[] {
  return ids.map((id) => new Volume(sandbox, plugin, id))
}

/** The one dummy-fused of the sandbox. */
function daemonIn(sandbox: Sandbox): number {
  const [pid, ...others] = sandbox.processes('dummy-fused')
  assert.ok(pid !== undefined, 'there is no dummy-fused')
  assert.deepEqual(others, [], 'there is more than one dummy-fused')
  return pid
}

async function kill(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await eventually(`dummy-fused[${pid}] is gone`, () => processStat(pid) === undefined)
}

/** The paths that a dummy-fused says it serves. */
async function served(plugin: Plugin): Promise<string[]> {
  using client = new CsiClient(join(plugin.stateDir, 'fused.sock'))
  const { sessions } = await client.call(Fused.method.list)
  return sessions.map(({ path }) => path).sort()
}

async function end(sandbox: Sandbox, plugin: Plugin, volumes: readonly Volume[]): Promise<void> {
  for (const volume of volumes) {
    await volume.unpublish()
    await volume.unstage()
  }
  assert.deepEqual([...sandbox.mounts(), ...plugin.entries()], [])
}

for (const host of HOSTS) {
  describe(`--fuse-host ${host} --daemons shared`, () => {
    it('has every volume served by one dummy-fused, which is started with the first, and which status shows', async () => {
      await using sandbox = new Sandbox()
      using plugin = await start(sandbox, host)
      assert.deepEqual(sandbox.processes('dummy-fused'), [])
      const volumes = volumesOf(sandbox, plugin, 'one', 'two', 'three')
      await Promise.all(volumes.map((volume) => volume.publish()))
      const daemon = daemonIn(sandbox)
      assert.deepEqual(plugin.daemons(), [])
      assert.deepEqual(await served(plugin), volumes.map(({ staging }) => staging).sort())
      for (const volume of volumes) {
        assert.ok(await serves(sandbox, volume.target))
        assert.deepEqual(await volume.reasons(), [])
      }
      assert.doesNotMatch(plugin.log(), /no service manager keeps/)
      const other = join(sandbox.path, 'other.sock')
      const args = ['status', '--state-dir', plugin.stateDir, '--fused-socket', other, '--json']
      const { stdout, status } = await sandbox.run(EXECUTABLE, args)
      assert.equal(status, 0, stdout)
      const shown = (JSON.parse(stdout) as { volumes: { state: string; daemon: { pid: number } | null }[] }).volumes
      assert.deepEqual(
        shown.map(({ state, daemon }) => [state, daemon?.pid]),
        volumes.map(() => ['MOUNTED', daemon]),
      )
      await end(sandbox, plugin, volumes)
      assert.deepEqual(await served(plugin), [])
      assert.equal(daemonIn(sandbox), daemon)
      await plugin.stop()
    })
  })
}

// Below, the one host class of both acts: they differ in the command of their dummy-fused (hosts/executions.ts).
describe('--fuse-host detached --daemons shared, as with child', () => {
  it('has every volume dead when its daemon is killed; each is mounted anew by the next call for it', async () => {
    await using sandbox = new Sandbox()
    using plugin = await start(sandbox, 'detached')
    const volumes = volumesOf(sandbox, plugin, 'one', 'two')
    for (const volume of volumes) await volume.publish()
    const daemon = daemonIn(sandbox)
    await kill(daemon)
    for (const volume of volumes) {
      assert.match((await read(sandbox, volume.target)).stderr, /Transport endpoint is not connected/)
      assert.deepEqual(await volume.reasons(), ['DaemonDead'])
    }
    await plugin.logged(`dummy-fused[${daemon}] ended: SIGKILL; the sessions of all volumes have ended with it`)
    assert.deepEqual(sandbox.processes('dummy-fused'), [], 'a question starts none')
    await Promise.all(volumes.map((volume) => volume.stage()))
    assert.notEqual(daemonIn(sandbox), daemon)
    for (const volume of volumes) {
      assert.deepEqual(await volume.reasons(), ['StaleBind'])
      await volume.publish()
      assert.ok(await serves(sandbox, volume.target))
      assert.deepEqual(await volume.reasons(), [])
    }
    await end(sandbox, plugin, volumes)
  })

  it('unpublishes and unstages volumes whose daemon was killed, and starts no other for that', async () => {
    await using sandbox = new Sandbox()
    using plugin = await start(sandbox, 'detached')
    const volumes = volumesOf(sandbox, plugin, 'one', 'two')
    for (const volume of volumes) await volume.publish()
    await kill(daemonIn(sandbox))
    await end(sandbox, plugin, volumes)
    assert.deepEqual(sandbox.processes('dummy-fused'), [])
    // Records of the one that was killed mean nothing to the next.
    const [volume] = volumes
    await volume?.publish()
    assert.deepEqual(await served(plugin), [volume?.staging])
    await end(sandbox, plugin, volumes.slice(0, 1))
  })

  it('stages and publishes 110 volumes at the same time', async () => {
    await using sandbox = new Sandbox()
    // A busy machine takes longer than ten seconds from the start of the daemon to the last of so many mounts.
    using plugin = await start(sandbox, 'detached')
    const volumes = volumesOf(sandbox, plugin, ...Array.from({ length: 110 }, (_, index) => `volume-${index}`))
    const staged = await Promise.all(volumes.map((volume) => outcome(volume.stage())))
    assert.deepEqual([...new Set(staged.map(({ code, details }) => `${code} ${details}`))], ['OK '])
    await Promise.all(volumes.map((volume) => volume.publish()))
    assert.equal((await served(plugin)).length, 110)
    daemonIn(sandbox)
    await Promise.all(volumes.map((volume) => volume.unpublish()))
    await Promise.all(volumes.map((volume) => volume.unstage()))
    assert.deepEqual([...sandbox.mounts(), ...plugin.entries()], [])
  })

  it('ends calls by their deadline while its daemon is stopped, kills it for no volume, and goes on with it', async () => {
    await using sandbox = new Sandbox()
    using plugin = await start(sandbox, 'detached', ['--call-deadline', '3'])
    const [one, two] = volumesOf(sandbox, plugin, 'one', 'two') as [Volume, Volume]
    await untilDone(() => one.publish())
    const session = mountAt(one.target).device
    const daemon = daemonIn(sandbox)
    await stop(daemon)
    for (let attempt = 0; attempt < 2; attempt++) {
      const begun = performance.now()
      const calls = await Promise.all([one.publish(one.another('second')), two.stage()].map(outcome))
      for (const { code, details } of calls) assert.ok(['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(code), `${code} ${details}`)
      assert.ok(performance.now() - begun < 10_000)
    }
    assert.ok((await one.reasons()).includes('DaemonHung'))
    process.kill(daemon, 'SIGCONT')
    await untilDone(() => two.publish())
    assert.equal(daemonIn(sandbox), daemon)
    assert.ok(await serves(sandbox, one.target))
    await one.stage()
    await one.publish()
    assert.equal(mountAt(one.target).device, session, 'no other volume has cost it its session')
    assert.deepEqual(await one.reasons(), ['MountFailed'], 'of the second target')
    await one.unpublish(one.another('second'))
    assert.deepEqual(await one.reasons(), [])
    await end(sandbox, plugin, [one, two])
  })

  it('replaces a daemon that has answered nothing for the time of three calls', async () => {
    await using sandbox = new Sandbox()
    using plugin = await start(sandbox, 'detached', ['--call-deadline', '2'])
    const [one, two] = volumesOf(sandbox, plugin, 'one', 'two') as [Volume, Volume]
    await untilDone(() => one.publish())
    const daemon = daemonIn(sandbox)
    await stop(daemon)
    await untilDone(() => two.publish())
    assert.notEqual(daemonIn(sandbox), daemon)
    await plugin.logged(
      `dummy-fused[${daemon}] has answered nothing for 6 s and is killed; the sessions of all volumes end with it`,
    )
    await untilDone(() => one.publish())
    assert.ok(await serves(sandbox, one.target))
    await end(sandbox, plugin, [one, two])
  })

  it('answers UNAVAILABLE with what dummy-fused says where that cannot start, and leaves nothing', async () => {
    await using sandbox = new Sandbox()
    using plugin = await start(sandbox, 'detached')
    // In the place of its state folder.
    await sandbox.run('touch', [join(plugin.stateDir, 'fused')])
    const [volume] = volumesOf(sandbox, plugin, 'volume') as [Volume]
    const { code, details } = await outcome(volume.stage())
    assert.equal(code, 'UNAVAILABLE', details)
    assert.match(details, /cannot use the state folder .*fused/)
    assert.deepEqual([...sandbox.mounts(), ...plugin.entries(), ...sandbox.processes('dummy-fused')], [])
    await sandbox.run('rm', [join(plugin.stateDir, 'fused')])
    await volume.publish()
    await end(sandbox, plugin, [volume])
  })
})

describe('--fuse-host child --daemons shared', () => {
  for (const how of ['kill', 'stop'] as const) {
    it(`has its daemon die with the plugin (${how}), and its successor mount everything again`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await start(sandbox, 'child')
      const volumes = volumesOf(sandbox, plugin, 'one', 'two')
      for (const volume of volumes) await volume.publish()
      const daemon = daemonIn(sandbox)
      assert.equal(readFileSync(`/proc/${daemon}/cgroup`, 'utf8'), readFileSync(`/proc/${plugin.pid}/cgroup`, 'utf8'))
      await plugin[how]()
      await eventually('the daemon is gone', () => processStat(daemon) === undefined)
      for (const { target } of volumes) assert.match((await read(sandbox, target)).stderr, /Transport endpoint is not connected/)
      await plugin.restart()
      for (const volume of volumes) {
        // The socket may be served while volumes are still being mounted again.
        await eventually('it is mounted again', async () => await serves(sandbox, volume.target))
        assert.deepEqual(await volume.reasons(), [])
      }
      assert.notEqual(daemonIn(sandbox), daemon)
      await end(sandbox, plugin, volumes)
    })
  }
})

describe('--fuse-host detached --daemons shared', () => {
  for (const how of ['kill', 'stop'] as const) {
    it(`has its daemon survive the plugin (${how}), and its successor go on with it`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await start(sandbox, 'detached')
      const volumes = volumesOf(sandbox, plugin, 'one', 'two')
      for (const volume of volumes) await volume.publish()
      const daemon = daemonIn(sandbox)
      const sessions = volumes.map(({ target }) => mountAt(target).device)
      const reader = sandbox.start('sh', ['-c', `while cat ${volumes[0]?.target ?? ''}/dummy-file.txt; do sleep 0.01; done`])
      // SIGTERM waits for all that holds the log's pipe.
      if (how === 'kill') await plugin.kill()
      else await plugin.stop()
      assert.ok(await serves(sandbox, volumes[1]?.target ?? ''))
      await plugin.restart()
      for (const [at, volume] of volumes.entries()) {
        assert.deepEqual(await volume.reasons(), [])
        await volume.stage()
        await volume.publish()
        assert.equal(mountAt(volume.target).device, sessions[at])
      }
      assert.equal(daemonIn(sandbox), daemon)
      assert.equal(reader.child.exitCode, null, reader.output())
      reader.child.kill('SIGKILL')
      await reader.ended
      await end(sandbox, plugin, volumes)
    })
  }

  it('lives in a session of its own, and ends in order when it is told to', async () => {
    await using sandbox = new Sandbox()
    using plugin = await start(sandbox, 'detached')
    const [volume] = volumesOf(sandbox, plugin, 'volume') as [Volume]
    await volume.stage()
    const daemon = daemonIn(sandbox)
    const text = readFileSync(`/proc/${daemon}/stat`, 'utf8')
    const [, , , session] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    assert.equal(Number(session), daemon)
    await plugin.kill()
    process.kill(daemon, 'SIGTERM')
    await eventually('the daemon is gone', () => argumentsOf(daemon).length === 0)
    assert.deepEqual(sandbox.mounts(), [])
    assert.ok(!existsSync(join(plugin.stateDir, 'fused.sock')))
  })
})
