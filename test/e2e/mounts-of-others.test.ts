import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { MountForest } from '../support/mount-forest.ts'
import { serves } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { attach, detach } from '../support/strace.ts'
import { eventually } from '../support/wait.ts'
import { Volume } from '../support/volume.ts'

/** Mounts of others. DUMMY_FUSE_MOUNTS sets another number. */
const MOUNTS = Number(process.env.DUMMY_FUSE_MOUNTS ?? 2000)

/** Counts how often processes read the whole mount table. */
class TableReads {
  readonly #output: string
  readonly #strace: Running
  #before = 0

  private constructor(output: string, strace: Running) {
    this.#output = output
    this.#strace = strace
  }

  /** Of a process, and of those that it starts from now on. */
  static async of(sandbox: Sandbox, pid: number): Promise<TableReads> {
    const output = join(sandbox.path, 'strace')
    const args = ['-f', '-qq', '-o', output, '-e', 'trace=openat', '-e', 'signal=none']
    return new TableReads(output, await attach(sandbox, pid, args, true))
  }

  /** Since the last time. */
  next(): number {
    const all = readFileSync(this.#output, 'utf8').split(/"\/proc\/(?:self|thread-self|\d+)\/mount(?:info|s)"/).length - 1
    const since = all - this.#before
    this.#before = all
    return since
  }

  /** Lets the processes go; the sandbox does that too. */
  async end(): Promise<void> {
    await detach(this.#strace)
  }
}

/** Takes a volume through its life, and looks at it in each way; how often each step reads the mount table. */
async function readsOf(plugin: Plugin, volume: Volume, reads: TableReads): Promise<Record<string, number>> {
  const stats = { volumeId: volume.id, volumePath: volume.target }
  const steps: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['stage', () => volume.stage()],
    ['publish', () => volume.publish()],
    ['publish again', () => volume.publish()],
    ['health', () => volume.reasons()],
    ['stats', () => plugin.call(Node.method.nodeGetVolumeStats, stats)],
    ['unpublish', () => volume.unpublish()],
    ['unstage', () => volume.unstage()],
  ]
  const counts: Record<string, number> = {}
  for (const [name, act] of steps) {
    // A daemon that strace has stopped at this moment is told from one that goes on: the call is repeated then.
    await eventually(`${name} succeeds`, async () => (await outcome(act())).code === 'OK')
    counts[name] = reads.next()
  }
  return counts
}

const HOSTS: Readonly<Record<string, (sandbox: Sandbox) => Promise<{ plugin: Plugin; pid: number }>>> = {
  child: async (sandbox) => {
    const plugin = await Plugin.start(sandbox)
    return { plugin, pid: plugin.pid }
  },
  service: async (sandbox) => {
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const args = ['--fuse-host', 'service', '--fused-socket', fused.socket]
    return { plugin: await Plugin.start(sandbox, { args }), pid: fused.pid }
  },
}

describe(`beside ${MOUNTS} mounts of others`, () => {
  for (const [host, start] of Object.entries(HOSTS))
    it(`no call reads the whole mount table, and all is right: ${host}`, async () => {
      await using sandbox = new Sandbox()
      const { plugin, pid } = await start(sandbox)
      using _plugin = plugin
      const reads = await TableReads.of(sandbox, pid)
      const alone = await readsOf(plugin, new Volume(sandbox, plugin, 'alone'), reads)
      using _others = new MountForest(sandbox, MOUNTS)
      assert.equal(sandbox.mounts().length, MOUNTS)
      const beside = await readsOf(plugin, new Volume(sandbox, plugin, 'beside'), reads)
      // What is asked is asked by statx(2) and statmount(2).
      for (const counts of [alone, beside])
        assert.deepEqual(
          Object.entries(counts).filter(([, count]) => count > 0),
          [],
        )
      // A program that strace stops for a moment is not well at that moment.
      await reads.end()

      const kept = new Volume(sandbox, plugin, 'kept')
      await kept.publish()
      assert.ok(await serves(sandbox, kept.target))
      await plugin.kill()
      await plugin.restart()
      assert.ok(await serves(sandbox, kept.target))
      await kept.becomesWell()
      await eventually('status says so', async () => {
        const status = await sandbox.run(EXECUTABLE, ['status', '--json', '--state-dir', plugin.stateDir])
        assert.equal(status.status, 0, status.stderr)
        const { volumes } = JSON.parse(status.stdout) as { volumes: readonly { state: string; findings: readonly unknown[] }[] }
        const shown = volumes.map(({ state, findings }) => [state, findings])
        return isDeepStrictEqual(shown, [['MOUNTED', []]])
      })
      await kept.unpublish()
      await kept.unstage()
      assert.deepEqual(plugin.entries(), [])
      assert.equal(sandbox.mounts().length, MOUNTS)
    })
})
