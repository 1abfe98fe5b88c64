import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Logger } from '../../src/log.ts'
import { DaemonProcess } from '../../src/hosts/daemon-process.ts'
import { Spares } from '../../src/hosts/spares.ts'
import { StartQueue } from '../../src/hosts/start-queue.ts'
import { childrenOf } from '../../src/os/processes/child-processes.ts'
import { SPARE_NAME, SPARE_ARGS } from '../../src/os/processes/daemon-channel.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { serves } from '../support/mounts.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { argumentsOf, commOf, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

function sparesOf({ pid }: { readonly pid: number }): number[] {
  return childrenOf(pid).filter((child) => commOf(child) === SPARE_NAME)
}

/** The plugin's spare, once it waits for its order. */
async function spareOf(plugin: Plugin): Promise<number> {
  return await eventually('there is a spare', () => sparesOf(plugin).at(0))
}

/** A plugin with one volume that is staged, and a spare. */
async function staged(sandbox: Sandbox, args: readonly string[] = []): Promise<{ plugin: Plugin; volume: Volume; spare: number }> {
  const plugin = await Plugin.start(sandbox, { args })
  const volume = new Volume(sandbox, plugin, 'first')
  await volume.stage()
  return { plugin, volume, spare: await spareOf(plugin) }
}

describe('the spare of a plugin', () => {
  it('is there after the first Stage, not before; is the only one; and counts as no volume of anybody', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    assert.deepEqual(sparesOf(plugin), [])
    const volume = new Volume(sandbox, plugin, 'first')
    await volume.stage()
    const spare = await spareOf(plugin)
    assert.deepEqual(argumentsOf(spare), ['dummy-fuse', ...SPARE_ARGS])
    assert.equal(volume.daemon() === spare, false)
    await volume.becomesWell()
    const { stdout } = await sandbox.run(EXECUTABLE, ['status', '--json', '--state-dir', plugin.stateDir])
    const { volumes } = JSON.parse(stdout) as { volumes: { daemon: { pid: number } | null }[] }
    assert.deepEqual(
      volumes.map(({ daemon }) => daemon?.pid),
      [volume.daemon()],
    )
    const others = ['second', 'third', 'fourth'].map((id) => new Volume(sandbox, plugin, id))
    for (const other of others) await other.stage()
    await eventually('one spare is left', () => sparesOf(plugin).length === 1)
    for (const each of [volume, ...others]) assert.ok(await serves(sandbox, each.staging))
  })

  for (const host of ['child', 'detached']) {
    it(`serves the next volume with --fuse-host ${host}: it becomes that volume's daemon`, async () => {
      await using sandbox = new Sandbox()
      const { plugin, spare } = await staged(sandbox, ['--fuse-host', host])
      using _ = plugin
      const volume = new Volume(sandbox, plugin, 'second', mountCapability(undefined, ['noatime']))
      await volume.stage()
      assert.equal(volume.daemon(), spare)
      assert.equal(argumentsOf(spare).includes('--die-with-parent'), host === 'child')
      assert.ok(await serves(sandbox, volume.staging))
      await volume.killDaemon()
      assert.notDeepEqual(await volume.reasons(), [])
      await volume.unstage()
      assert.ok(!sandbox.mounts().includes(volume.staging))
    })

    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      it(`ends with a plugin of --fuse-host ${host} that ${signal} ends`, async () => {
        await using sandbox = new Sandbox()
        const { plugin, volume, spare } = await staged(sandbox, ['--fuse-host', host])
        using _ = plugin
        const second = new Volume(sandbox, plugin, 'second')
        await second.stage()
        assert.equal(second.daemon(), spare)
        const next = await spareOf(plugin)
        if (signal === 'SIGKILL') await plugin.kill()
        else await plugin.stop()
        await eventually('the spare has ended', () => processStat(next) === undefined)
        const alive = host === 'detached'
        if (!alive) await eventually('the daemons have ended', () => plugin.daemons().length === 0)
        for (const each of [volume, second]) assert.equal(await serves(sandbox, each.staging), alive)
        await plugin.restart()
        if (alive) assert.equal(second.daemon(), spare)
        for (const each of [volume, second]) {
          assert.ok(await serves(sandbox, each.staging))
          await each.unstage()
        }
        assert.deepEqual([...sandbox.mounts(), ...plugin.daemons()], [])
      })
    }
  }

  it('is what a daemon becomes whose volume is unstaged, and carries nothing over', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const first = new Volume(sandbox, plugin, 'first', mountCapability(undefined, ['allow_other', 'ro', 'noatime']))
    await first.stage()
    const daemon = first.daemon()
    const spare = await spareOf(plugin)
    process.kill(spare, 'SIGKILL')
    await eventually('the first spare is gone', () => processStat(spare) === undefined)
    await first.unstage()
    assert.deepEqual(sparesOf(plugin), [daemon])
    const second = new Volume(sandbox, plugin, 'second')
    await second.stage()
    assert.equal(second.daemon(), daemon)
    const { stdout } = await sandbox.run('grep', [` ${second.staging} `, '/proc/self/mounts'])
    assert.equal(stdout, `dummy-fuse ${second.staging} fuse.dummy-fuse rw,nosuid,nodev,relatime,user_id=0,group_id=0 0 0\n`)
    assert.ok(await serves(sandbox, second.staging))
    await second.unstage()
    assert.deepEqual([...sandbox.mounts(), ...plugin.daemons()], [])
  })

  it('fails as a daemon that is started for its order does', async () => {
    const answers: unknown[] = []
    for (const ahead of [true, false]) {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox)
      if (ahead) {
        await new Volume(sandbox, plugin, 'first').stage()
        await spareOf(plugin)
      }
      const volume = new Volume(sandbox, plugin, 'second', mountCapability(undefined, ['no_such_option']))
      const error = await volume.stage().then(
        () => undefined,
        (error: unknown) => error as Error & { code: number },
      )
      answers.push([error?.code, error?.message.replaceAll(sandbox.path, '')])
      assert.ok(!sandbox.mounts().includes(volume.staging))
    }
    assert.deepEqual(answers[0], answers[1])
    assert.match(String((answers[0] as unknown[])[1]), /no_such_option/)
  })

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    it(`does no harm when ${signal} has come to it: the next Stage starts a daemon`, async () => {
      await using sandbox = new Sandbox()
      const { plugin, spare } = await staged(sandbox)
      using _ = plugin
      if (signal === 'SIGSTOP') await stop(spare)
      else process.kill(spare, signal)
      const volume = new Volume(sandbox, plugin, 'second')
      await volume.stage()
      assert.notEqual(volume.daemon(), spare)
      assert.ok(await serves(sandbox, volume.staging))
      await eventually('it is gone', () => processStat(spare) === undefined)
      await eventually('there is another', () => sparesOf(plugin).length === 1)
    })
  }

  it('leaves nothing when it is stopped while it mounts: the call ends by its deadline', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox, { args: ['--call-deadline', '15', '--inject', 'mount-delay=7'] })
    await new Volume(sandbox, plugin, 'first').stage()
    const spare = await spareOf(plugin)
    const volume = new Volume(sandbox, plugin, 'second')
    const staging = volume.stage().then(
      () => 'staged',
      (error: unknown) => (error as { code: string }).code,
    )
    await eventually('it has its order', () => argumentsOf(spare).includes(volume.staging))
    await stop(spare)
    const begun = performance.now()
    assert.equal(await staging, 'DEADLINE_EXCEEDED')
    assert.ok(performance.now() - begun < 20_000)
    await eventually('it is gone', () => processStat(spare) === undefined)
    assert.ok(!sandbox.mounts().includes(volume.staging))
    await volume.stage()
    assert.ok(await serves(sandbox, volume.staging))
  })

  it('is let go of when nothing is staged for a while', async () => {
    const log = new Logger(() => undefined)
    const limits = { startsAtOnce: 1, leastStart: 1, promptMount: 500, placeKept: 1 }
    const execution = { file: DUMMY_FUSE, args: SPARE_ARGS, argv0: 'dummy-fuse', detached: false, env: process.env }
    const spares = new Spares(() => execution, new StartQueue(limits), { spareDelay: 1, spareKept: 8000 }, log)
    spares.replenish()
    const pid = await eventually('there is a spare', () => sparesOf(process).at(0))
    await eventually('it has ended', () => processStat(pid) === undefined)
    assert.equal(spares.take(), undefined)
    const daemon = new DaemonProcess(execution, 'starting', log)
    await new Promise<void>((resolve) => {
      daemon.onceFree(resolve)
    })
    assert.ok(daemon.idle)
    // Nothing was staged for a while: what comes back is of no use either.
    spares.offer(daemon)
    await eventually('it has ended', () => daemon.over)
  })
})
