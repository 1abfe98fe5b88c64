import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Identity } from '../../src/rpc/csi_pb.ts'
import { Reader } from '../support/c-reader.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { MemoryCgroup, noMemoryCgroup } from '../support/memory-cgroup.ts'
import { layersAt, read, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { StandbyProcess } from '../support/standby.ts'
import { eventually } from '../support/wait.ts'
import { Volume } from '../support/volume.ts'

/** What the kubelet repeats a call after. */
const REPEATED: readonly string[] = ['RESOURCE_EXHAUSTED', 'UNAVAILABLE']

/** Bytes for a plugin and a few of its daemons. */
const ROOM = 90 * 2 ** 20

/** Volumes, more than {@link ROOM} is enough for. */
const MOST = 14

/** Processes that the OOM killer takes before there is enough. */
const KILLS = 2

const skip = noMemoryCgroup()

/** Leaves a process no memory: the next that it asks for has it killed. */
function squeeze(cgroup: MemoryCgroup, pid: number): void {
  cgroup.limit(0)
  cgroup.add(pid)
}

async function startPlugin(sandbox: Sandbox, mode: string, ...args: readonly string[]): Promise<Plugin> {
  // A busy machine starts another daemon for a call only after seconds.
  return await Plugin.start(sandbox, { args: ['--fuse-host', mode, ...args], callDeadline: 60 })
}

/** A reader that holds a descriptor of the volume's file, and has read. */
async function heldReader(sandbox: Sandbox, volume: Volume): Promise<Reader> {
  const reader = await Reader.start(sandbox, { mode: 'held', file: `${volume.target}/dummy-file.txt`, intervalUs: 2000 })
  await reader.reading()
  return reader
}

async function endVolumes(plugin: Plugin, sandbox: Sandbox, ...volumes: readonly Volume[]): Promise<void> {
  for (const volume of volumes) {
    await volume.unpublish()
    await volume.unstage()
  }
  assert.deepEqual([plugin.entries(), sandbox.mounts()], [[], []])
}

/** Ends a reader, which must have read the volume all the time. */
async function noticedNothing(reader: Reader): Promise<void> {
  const { wrong, failed } = await reader.summary()
  assert.deepEqual({ wrong, failed }, { wrong: 0, failed: {} }, 'a reader noticed')
}

describe('the OOM killer', { skip, concurrency: true }, () => {
  for (const mode of ['child', 'detached'])
    it(`takes the daemon of a Stage, one that serves, and serve: no call lies, and the next has it all work again: ${mode}`, async () => {
      await using sandbox = new Sandbox()
      // There is time to find a daemon before it mounts.
      using plugin = await startPlugin(sandbox, mode, '--inject', 'mount-delay=4')
      const [old, fresh] = [new Volume(sandbox, plugin, 'old'), new Volume(sandbox, plugin, 'new')]
      await old.publish()
      await using cgroup = new MemoryCgroup(sandbox)
      const before = plugin.daemons()
      let isOver = false
      const staging = outcome(fresh.stage()).finally(() => (isOver = true))
      // Where the OOM killer takes a spare, another daemon is started for the call.
      const squeezed = (): boolean => {
        for (const pid of plugin.daemons()) if (!before.includes(pid)) squeeze(cgroup, pid)
        return isOver
      }
      await eventually('the call is over', squeezed, 90_000)
      const staged = await staging
      const { kills } = cgroup
      assert.ok(kills > 0)
      assert.equal(staged.code, 'UNAVAILABLE', staged.details)
      assert.ok(staged.details.includes(fresh.staging) && staged.details.includes('SIGKILL'), staged.details)
      assert.deepEqual([layersAt(fresh.staging), plugin.entries().length], [[], 2])
      await fresh.publish()

      cgroup.add(old.daemon())
      await eventually('the daemon is killed while it serves', async () => {
        await read(sandbox, old.target)
        return cgroup.kills === kills + 1
      })
      assert.deepEqual([await old.reasons(), await fresh.reasons()], [['DaemonDead'], []])
      await old.publish()

      cgroup.add(plugin.pid)
      const { code, details } = await outcome(new Volume(sandbox, plugin, 'third').stage())
      assert.equal(code, 'UNAVAILABLE', details)
      await eventually('serve is killed', () => !plugin.running)
      await plugin.restart()
      for (const volume of [old, fresh]) {
        assert.ok(await serves(sandbox, volume.target))
        assert.deepEqual(await volume.reasons(), [])
      }
      await endVolumes(plugin, sandbox, old, fresh)
    })

  it('takes the standby, dummy-fused in a Stage, and serve: no reader notices, and the calls succeed then', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    using plugin = await startPlugin(sandbox, 'service', '--fused-socket', fused.socket)
    const [old, fresh] = [new Volume(sandbox, plugin, 'old'), new Volume(sandbox, plugin, 'new')]
    await old.publish()
    const reader = await heldReader(sandbox, old)
    const standby = await StandbyProcess.start(sandbox, fused)
    await using cgroup = new MemoryCgroup(sandbox)
    squeeze(cgroup, standby.pid)
    await fresh.publish()
    await cgroup.killed(1)
    await fresh.unpublish()
    await fresh.unstage()
    for (const [count, pid] of [fused.pid, plugin.pid].entries()) {
      cgroup.add(pid)
      const { code, details } = await outcome(fresh.stage())
      assert.ok(['OK', ...REPEATED].includes(code), `${code}: ${details}`)
      await cgroup.killed(count + 2)
    }
    await eventually('serve is killed', () => !plugin.running)
    await plugin.restart()
    await fresh.publish()
    const next = await StandbyProcess.start(sandbox, fused)
    await next.holdsAll()
    assert.ok((await serves(sandbox, fresh.target)) && (await serves(sandbox, old.target)))
    await noticedNothing(reader)
    await endVolumes(plugin, sandbox, old, fresh)
  })

  it('takes keep: its sessions are lost, health says so, and the next keep and Publish have them all again', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    using plugin = await startPlugin(sandbox, 'service', '--fused-socket', fused.socket)
    const [old, fresh] = [new Volume(sandbox, plugin, 'old'), new Volume(sandbox, plugin, 'new')]
    await old.publish()
    await using cgroup = new MemoryCgroup(sandbox)
    squeeze(cgroup, fused.running.pid)
    // keep is told of the new session's descriptor.
    const { code, details } = await outcome(fresh.stage())
    assert.ok(['OK', ...REPEATED].includes(code), `${code}: ${details}`)
    await fused.running.ended
    assert.equal(cgroup.kills, 1)
    await eventually('the program of keep has ended', () => sandbox.processes('dummy-fused').length === 0)
    assert.equal((await outcome(fresh.stage())).code, 'UNAVAILABLE')
    assert.deepEqual(await old.reasons(), ['StagingNotMounted', 'TargetNotMounted'])
    await FusedProcess.start(sandbox, { keep: [] })
    for (const volume of [old, fresh]) {
      await volume.stage()
      await volume.publish()
      assert.ok(await serves(sandbox, volume.target))
      await volume.becomesWell()
    }
    await endVolumes(plugin, sandbox, old, fresh)
  })

  it('takes what it likes where a plugin and its daemons have too little: health tells what is lost, and all works when there is enough', async () => {
    await using sandbox = new Sandbox()
    await using cgroup = new MemoryCgroup(sandbox)
    cgroup.limit(ROOM)
    using plugin = await Plugin.start(sandbox, { by: cgroup.by })
    const volumes: Volume[] = []
    const published: Volume[] = []
    while (cgroup.kills < KILLS && plugin.running && volumes.length < MOST) {
      const volume = new Volume(sandbox, plugin, `volume-${volumes.length}`)
      volumes.push(volume)
      const { code, details } = await outcome(volume.publish())
      // Processes that have to give up their pages again and again are slow.
      assert.ok(['OK', 'DEADLINE_EXCEEDED', ...REPEATED].includes(code), `${code}: ${details}`)
      if (code === 'OK') published.push(volume)
    }
    assert.ok(cgroup.kills > 0, `${MOST} volumes fit`)
    cgroup.limit(undefined)
    // The connection to a plugin that is killed ends before its process does.
    const answersOrEnded = async (): Promise<boolean> =>
      !plugin.running || (await outcome(plugin.call(Identity.method.probe))).code === 'OK'
    await eventually('the plugin answers, or has ended', answersOrEnded)
    if (!plugin.running) await plugin.restart()
    for (const volume of published) {
      const reasons = await volume.reasons()
      assert.equal(reasons.length === 0, await serves(sandbox, volume.target), `${volume.id}: ${reasons.join()}`)
    }
    for (const volume of volumes) {
      // A call that has exceeded its deadline keeps the volume until it has undone its work.
      const published = async (): Promise<boolean> => {
        const { code, details } = await outcome(volume.publish())
        assert.ok(['OK', 'ABORTED', 'DEADLINE_EXCEEDED', ...REPEATED].includes(code), `${code}: ${details}`)
        return code === 'OK'
      }
      await eventually(`${volume.id} is published`, published)
      assert.ok(await serves(sandbox, volume.target))
    }
    await endVolumes(plugin, sandbox, ...volumes)
  })
})
