import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { abortConnection } from '../support/connections.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, mountAt, read, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

interface Both extends Disposable {
  readonly fused: FusedProcess
  readonly plugin: Plugin
}

/** A dummy-fused under keep, and a plugin that has its volumes served there. */
async function start(sandbox: Sandbox, args: readonly string[] = [], keep: readonly string[] = []): Promise<Both> {
  const fused = await FusedProcess.start(sandbox, { keep })
  const plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', fused.socket, ...args] })
  return { fused, plugin, [Symbol.dispose]: () => plugin[Symbol.dispose]() }
}

describe('--fuse-host service', () => {
  it('has a volume’s whole life served by dummy-fused, with no process of its own', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox)
    const { fused, plugin } = both
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.stage()
    await volume.publish()
    assert.deepEqual(plugin.daemons(), [])
    assert.deepEqual(await fused.paths(), [volume.staging])
    assert.ok(await serves(sandbox, volume.target))
    assert.deepEqual(await volume.reasons(), [])
    const stats = await plugin.call(Node.method.nodeGetVolumeStats, { volumeId: volume.id, volumePath: volume.target })
    assert.equal(stats.usage.length, 2)
    await volume.stage()
    await volume.publish()
    assert.equal(layersAt(volume.staging).length + layersAt(volume.target).length, 2)
    await volume.unpublish()
    await volume.unstage()
    assert.deepEqual([...sandbox.mounts(), ...plugin.entries(), ...fused.records(), ...(await fused.paths())], [])
    await eventually('its descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
  })

  it('is UNAVAILABLE at once where nobody listens, naming what to start, and works once it is started', async () => {
    await using sandbox = new Sandbox()
    const socket = `${sandbox.path}/fused.sock`
    using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', socket] })
    const volume = new Volume(sandbox, plugin, 'volume')
    for (const call of [() => volume.stage(), () => volume.publish()]) {
      const begun = performance.now()
      const { code, details } = await outcome(call())
      assert.equal(code, 'UNAVAILABLE')
      assert.match(
        details,
        /dummy-fused does not run: no process listens on .*fused\.sock; start it \(systemctl start dummy-fused\.socket\)/,
      )
      assert.ok(performance.now() - begun < 5000)
    }
    assert.deepEqual([...sandbox.mounts()], [])
    await FusedProcess.start(sandbox, { keep: [] })
    await volume.publish()
    assert.ok(await serves(sandbox, volume.target))
  })

  it('leaves volumes alone over kills, ends and starts of the plugin and of dummy-fused', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox)
    const { fused, plugin } = both
    const volumes = ['one', 'two'].map((id) => new Volume(sandbox, plugin, id))
    for (const volume of volumes) await volume.publish()
    const sessions = volumes.map(({ target }) => mountAt(target).device)
    const reader = sandbox.start('sh', ['-c', `while cat ${volumes[0]?.target ?? ''}/dummy-file.txt; do sleep 0.01; done`])
    const ENDS = [
      async () => {
        await plugin.kill()
      },
      async () => {
        await plugin.stop()
      },
      async () => {
        await fused.kill()
      },
      async () => {
        await plugin.kill()
        await fused.kill()
      },
    ]
    for (const end of ENDS) {
      await end()
      if (!processRuns(plugin.pid)) await plugin.restart()
      await fused.answers()
      for (const [at, volume] of volumes.entries()) {
        assert.ok(await serves(sandbox, volume.target))
        assert.deepEqual(await volume.reasons(), [])
        await volume.stage()
        await volume.publish()
        assert.equal(mountAt(volume.target).device, sessions[at])
      }
    }
    assert.equal(reader.child.exitCode, null, reader.output())
    reader.child.kill('SIGKILL')
    await reader.ended
    for (const volume of volumes) {
      await volume.unpublish()
      await volume.unstage()
    }
    assert.deepEqual([...sandbox.mounts(), ...plugin.entries(), ...fused.records()], [])
  })

  it('sees a delay and no error while dummy-fused is being replaced', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox)
    const { fused, plugin } = both
    for (let round = 0; round < 2; round++) {
      const volume = new Volume(sandbox, plugin, `volume-${round}`)
      await fused.kill()
      await volume.publish()
      assert.ok(await serves(sandbox, volume.target))
      await fused.kill()
      // On a busy machine a successor may need longer than the second within which the kubelet is answered.
      const seen: string[] = []
      await eventually('the successor answers', async () => {
        const reasons = await volume.reasons()
        seen.push(...reasons)
        return reasons.length === 0
      })
      assert.deepEqual(
        seen.filter((reason) => reason !== 'DaemonHung'),
        [],
      )
      await fused.kill()
      await volume.unpublish()
      await volume.unstage()
    }
    assert.deepEqual([...sandbox.mounts(), ...plugin.entries(), ...fused.records()], [])
  })

  it('mounts again what was lost with dummy-fused and its keeper', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox)
    const { fused, plugin } = both
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.publish()
    const { pid } = fused
    fused.running.child.kill('SIGKILL')
    await eventually('the program has followed its keeper', () => !processRuns(pid))
    assert.match((await read(sandbox, volume.target)).stderr, /Transport endpoint is not connected|No such file/)
    assert.notDeepEqual(await volume.reasons(), [])
    const down = await outcome(volume.stage())
    assert.equal(down.code, 'UNAVAILABLE', down.details)
    const next = await FusedProcess.start(sandbox, { keep: [] })
    await plugin.stop()
    await plugin.restart()
    assert.ok(await serves(sandbox, volume.target))
    assert.deepEqual(await volume.reasons(), [])
    assert.deepEqual(await next.paths(), [volume.staging])
    await volume.unpublish()
    await volume.unstage()
    assert.deepEqual([...sandbox.mounts(), ...plugin.entries(), ...next.records()], [])
  })

  const FAULTS = [
    { fault: 'mount-fail', code: 'INTERNAL', details: /mount failed, as --inject mount-fail asks/ },
    { fault: 'init-hang', code: 'DEADLINE_EXCEEDED', details: /INIT was not handled within/ },
  ] as const
  for (const { fault, code, details } of FAULTS) {
    it(`passes ${fault} on, tells its reason, and leaves nothing`, async () => {
      await using sandbox = new Sandbox()
      using both = await start(sandbox, ['--inject', fault, '--call-deadline', '8'])
      const { fused, plugin } = both
      const volume = new Volume(sandbox, plugin, 'volume')
      const failed = await outcome(volume.stage())
      assert.equal(failed.code, code, failed.details)
      assert.match(failed.details, details)
      assert.deepEqual([...sandbox.mounts(), ...plugin.entries(), ...fused.records(), ...(await fused.paths())], [])
    })
  }
})

describe('the health of many volumes of dummy-fused', () => {
  it('is one question for all calls that come together, as status has for all volumes, and where they come one after another once a session has ended', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox)
    const volumes = Array.from({ length: 20 }, (_, i) => new Volume(sandbox, both.plugin, `volume-${i}`))
    for (const volume of volumes) await volume.publish()
    const [before, begun] = [await listCalls(both.fused), performance.now()]
    const reasons = await Promise.all(volumes.map((volume) => volume.reasons()))
    assert.deepEqual(reasons.flat(), [])
    const asked = (await listCalls(both.fused)) - before
    // An answer counts for half a second, and on a busy machine the calls may take longer to come.
    assert.ok(asked >= 1 && asked <= 1 + (performance.now() - begun) / 500, `${asked} questions`)

    const beforeStatus = await listCalls(both.fused)
    const args = ['--json', '--state-dir', both.plugin.stateDir, '--fused-socket', both.fused.socket]
    const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, ['status', ...args])
    assert.equal(status, 0, stderr)
    const shown = (JSON.parse(stdout) as { volumes: { volumeId: string; state: string; daemon: { pid: number } | null }[] }).volumes
    assert.deepEqual(
      shown.map(({ volumeId, state, daemon }) => [volumeId, state, daemon?.pid]).sort(),
      volumes.map(({ id }) => [id, 'MOUNTED', both.fused.pid]).sort(),
    )
    assert.equal((await listCalls(both.fused)) - beforeStatus, 1)

    const [first, ...others] = volumes as [Volume, ...Volume[]]
    await first.unpublish()
    await first.unstage()
    const beforeOthers = await listCalls(both.fused)
    const begunOthers = performance.now()
    for (const volume of others) assert.deepEqual(await volume.reasons(), [])
    const askedOfOthers = (await listCalls(both.fused)) - beforeOthers
    // Not one for each volume. An answer counts for half a second, and on a busy machine the calls take longer than that together.
    const most = Math.max(others.length / 2, 2 + (performance.now() - begunOthers) / 500)
    assert.ok(askedOfOthers < most, `${askedOfOthers} questions for ${others.length} volumes`)
  })

  it('tells at once of a session that ends, and of a daemon that is stopped, however young the last answer is', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox, [], ['--watchdog', '0'])
    const [one, other] = [new Volume(sandbox, both.plugin, 'one'), new Volume(sandbox, both.plugin, 'other')]
    for (const volume of [one, other]) {
      await volume.publish()
      assert.deepEqual(await volume.reasons(), [])
    }
    await both.fused.unmount(one.staging)
    assert.deepEqual((await one.reasons()).sort(), ['StagingNotMounted', 'StaleBind'])
    const { pid } = both.fused
    await stop(pid)
    try {
      assert.deepEqual(await other.reasons(), ['DaemonHung'])
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  })

  it('is DaemonHung for a target whose session is no longer at the staging path, while dummy-fused is stopped', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox, [], ['--watchdog', '0'])
    const { fused, plugin } = both
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.publish()
    const reasons = async (): Promise<readonly string[]> => {
      const asked = { volumeId: volume.id, volumePublishPath: volume.target, stagingTargetPath: volume.staging }
      const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, asked)
      const found = volumeHealth?.healthStatuses ?? []
      for (const { message } of found) assert.match(message, /does not answer; wait: the watchdog .* no consumer needs a restart$/)
      return found.map(({ reason }) => reason)
    }
    await sandbox.run('umount', [volume.staging])
    const { pid } = fused
    const hangs = async (): Promise<void> => {
      await stop(pid)
      try {
        assert.deepEqual(await reasons(), ['DaemonHung'])
      } finally {
        process.kill(pid, 'SIGCONT')
      }
      await eventually('the target is well', async () => (await reasons()).length === 0)
    }
    await hangs()
    await volume.stage()
    assert.notEqual(mountAt(volume.staging).device, mountAt(volume.target).device)
    await hangs()
  })

  it('finds a session whose connection was aborted, and Publish mounts it anew', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox)
    const volume = new Volume(sandbox, both.plugin, 'volume')
    await volume.publish()
    assert.deepEqual(await volume.reasons(), [])
    const { device } = mountAt(volume.staging)
    await abortConnection(sandbox, device.split(':')[1] ?? '')
    await both.fused.logged(`the connection of ${volume.staging} was aborted; what is mounted there is dead`)
    // An answer from before the abort counts for half a second.
    await eventually('health finds it', async () => (await volume.reasons()).includes('DaemonDead'))
    await volume.publish()
    assert.notEqual(mountAt(volume.staging).device, device)
    assert.ok(await serves(sandbox, volume.target))
    assert.deepEqual(await volume.reasons(), [])
  })

  it('takes no session off a daemon that is stopped: calls are UNAVAILABLE, and it goes on', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox, [], ['--watchdog', '0'])
    const volume = new Volume(sandbox, both.plugin, 'volume')
    await volume.publish()
    const { device } = mountAt(volume.staging)
    const { pid } = both.fused
    await stop(pid)
    try {
      const calls = [() => volume.stage(), () => volume.publish(), () => volume.publish(volume.another('second'))]
      for (const call of calls) {
        const { code, details } = await outcome(call())
        assert.equal(code, 'UNAVAILABLE', details)
        assert.match(details, /waits for a dummy-fused that is stopped and serves other volumes too; resume or end that/)
      }
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    assert.equal(mountAt(volume.staging).device, device)
    await volume.publish()
    assert.ok(await serves(sandbox, volume.target))
  })
})

/** How often dummy-fused was asked what it serves. */
/** How many questions about its sessions a dummy-fused has had. Its log is read as it comes: a call that has ended may not be there yet. */
async function listCalls(fused: FusedProcess): Promise<number> {
  const marks = (): number => fused.log().split('GRPC call: /dummyfuse.fused.v1.Fused/Unmount').length
  const before = marks()
  await fused.unmount('/nothing/is/mounted/here', 0)
  await eventually('the log has all that came before', () => marks() > before)
  return fused.log().split('GRPC call: /dummyfuse.fused.v1.Fused/List').length - 1
}

function processRuns(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
