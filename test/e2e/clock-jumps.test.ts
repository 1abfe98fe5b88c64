import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { outcome } from '../support/csi-client.ts'
import { Reader } from '../support/c-reader.ts'
import { FusedProcess } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'
import { Volume } from '../support/volume.ts'

const DAY = 86_400

/** Seconds: forth and back by a day, and by more than a timer of Node has room for (2^31 ms). */
const JUMPS = [DAY, -DAY, 40 * DAY, -40 * DAY]

/** No text of a time that a clock that went back has made negative, that is none, or that a timer had no room for. */
function assertSane(log: string): void {
  assert.doesNotMatch(log, /(?<![\w/.:-])-\d+(\.\d+)? m?s\b|\bNaN\b|Invalid|TimeoutOverflow|TimeoutNegative/)
  assert.match(log, /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /m)
}

describe('a wall clock that jumps', { concurrency: true }, () => {
  it('alters no call, no restart and no wait of a plugin and its daemons', async () => {
    await using sandbox = new Sandbox()
    const clock = await MovedClock.make(sandbox)
    using plugin = await Plugin.start(sandbox, { env: clock.env, args: ['--inject', 'mount-delay=0.3', '--call-deadline', '25'] })
    for (const [index, jump] of JUMPS.entries()) {
      const volume = new Volume(sandbox, plugin, `volume-${index}`)
      const staged = volume.stage()
      await eventually('the daemon has its mount point', () => plugin.daemons().length > index)
      clock.move(jump)
      await staged
      await volume.publish()
      assert.ok(await serves(sandbox, volume.target))
      assert.deepEqual(await volume.reasons(), [])
    }
    clock.move(-DAY)
    const year = new Date(Date.now() - DAY * 1000).getFullYear()
    const log = plugin.log()
    assertSane(log)
    await plugin.kill()
    await plugin.restart()
    assert.ok(plugin.log().startsWith(`${year}/`))
    for (const index of JUMPS.keys()) {
      const volume = new Volume(sandbox, plugin, `volume-${index}`)
      assert.ok(await serves(sandbox, volume.target))
      clock.move(JUMPS[index] ?? 0)
      assert.deepEqual(await volume.reasons(), [])
      await volume.unpublish()
      await volume.unstage()
    }
    assert.deepEqual([plugin.entries(), sandbox.mounts()], [[], []])
    assertSane(plugin.log())
  })

  for (const jump of [DAY, -DAY])
    it(`ends no call before its deadline, and none after it: by ${jump} s`, async () => {
      await using sandbox = new Sandbox()
      const clock = await MovedClock.make(sandbox)
      using plugin = await Plugin.start(sandbox, { env: clock.env, args: ['--inject', 'init-hang', '--call-deadline', '20'] })
      const volume = new Volume(sandbox, plugin, 'volume')
      const staged = outcome(volume.stage())
      await eventually('a daemon starts', () => plugin.daemons().length > 0)
      clock.move(jump)
      const { code, details } = await staged
      assert.equal(code, 'DEADLINE_EXCEEDED')
      // Of 20 s, less the margin of 1 s for undoing and what the plugin takes until it starts the daemon.
      assert.match(details, /dummy-fuse did not handle INIT within 1?\d\.\d s and was killed/)
      assert.deepEqual([plugin.daemons(), plugin.entries(), sandbox.mounts()], [[], [], []])
      assertSane(plugin.log())
    })

  for (const jump of [DAY, -40 * DAY])
    it(`is nothing to dummy-fused, keep, and calls that wait for them: by ${jump} s`, async () => {
      await using sandbox = new Sandbox()
      const clock = await MovedClock.make(sandbox)
      const fused = await FusedProcess.start(sandbox, { keep: ['--watchdog', '0'], by: clock.by })
      const args = ['--fuse-host', 'service', '--fused-socket', fused.socket]
      using plugin = await Plugin.start(sandbox, { env: clock.env, args })
      const [old, fresh] = [new Volume(sandbox, plugin, 'old'), new Volume(sandbox, plugin, 'new')]
      await old.publish()
      const reader = await Reader.start(sandbox, { mode: 'held', file: `${old.target}/dummy-file.txt`, intervalUs: 2000 })
      await reader.reading()
      // Its first call waits for a connection with a daemon that says nothing.
      await plugin.stop()
      await stop(fused.pid)
      await plugin.restartUnrestored()
      const staged = outcome(fresh.stage())
      await plugin.logged('NodeStageVolume')
      await sleep(200)
      clock.move(jump)
      process.kill(fused.pid, 'SIGCONT')
      assert.deepEqual(await staged, { code: 'OK', details: '' })
      await fused.replace()
      clock.move(0)
      await fused.replace()
      assert.ok(await serves(sandbox, fresh.staging))
      const { wrong, failed } = await reader.summary()
      assert.deepEqual({ wrong, failed }, { wrong: 0, failed: {} }, 'a reader noticed')
      const status = await sandbox.run(EXECUTABLE, ['status', '--state-dir', plugin.stateDir, '--fused-socket', fused.socket])
      assert.equal(status.status, 0, status.stdout + status.stderr)
      assertSane(plugin.log() + fused.log())
      await old.unpublish()
      for (const volume of [old, fresh]) await volume.unstage()
      assert.deepEqual([plugin.entries(), sandbox.mounts()], [[], []])
    })
})
