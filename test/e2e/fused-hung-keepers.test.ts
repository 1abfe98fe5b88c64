import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Reader } from '../support/c-reader.ts'
import { outcome } from '../support/csi-client.ts'
import { FullNotifySocket } from '../support/full-notify-socket.ts'
import { FusedProcess, type FusedOptions } from '../support/fused.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { StandbyProcess } from '../support/standby.ts'
import { Volume } from '../support/volume.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

interface Both extends Disposable {
  readonly fused: FusedProcess
  readonly plugin: Plugin
}

/** A dummy-fused, and a plugin that has its volumes served there, whose calls have six seconds: five for their work, and one for undoing it. */
async function start(sandbox: Sandbox, options: FusedOptions, args: readonly string[] = []): Promise<Both> {
  const fused = await FusedProcess.start(sandbox, options)
  const all = ['--fuse-host', 'service', '--fused-socket', fused.socket, '--call-deadline', '6', ...args]
  const plugin = await Plugin.start(sandbox, { args: all })
  return { fused, plugin, [Symbol.dispose]: () => plugin[Symbol.dispose]() }
}

/** Nothing of a Stage that has failed is there, or comes. */
async function nothingOf(fused: FusedProcess, { staging }: Volume): Promise<void> {
  assert.deepEqual(layersAt(staging), [])
  await eventually('its device and its record are gone', () => devicesOf(fused.pid) + fused.records().length === 0)
  assert.deepEqual([layersAt(staging), await fused.paths()], [[], []])
}

describe('a Stage in dummy-fused that is answered DEADLINE_EXCEEDED leaves no mount that can come later', () => {
  it('beside a notify socket that nobody reads; and succeeds once it is read', async () => {
    await using sandbox = new Sandbox()
    using notify = new FullNotifySocket(sandbox.path)
    using both = await start(sandbox, { by: ['env', `NOTIFY_SOCKET=${notify.path}`] })
    const { fused, plugin } = both
    const volumes = Array.from({ length: 3 }, (_, at) => new Volume(sandbox, plugin, `v${at}`))
    const results = await Promise.all(volumes.map((volume) => outcome(volume.stage())))
    assert.deepEqual(
      results.map(({ code }) => code),
      volumes.map(() => 'DEADLINE_EXCEEDED'),
    )
    for (const volume of volumes) await nothingOf(fused, volume)
    // READY=1 comes when there is room, what was taken back before it was sent does not.
    notify.read()
    await eventually('READY=1 arrives', () => notify.messages.some((text) => text.startsWith('READY=1')))
    assert.deepEqual(
      notify.messages.filter((text) => text.includes('FDSTORE=1')),
      [],
    )
    for (const volume of volumes) await volume.stage()
    for (const volume of volumes) assert.ok(await serves(sandbox, volume.staging))
    for (const volume of volumes) await volume.unstage()
    assert.deepEqual([...fused.records(), ...(await fused.paths()), ...plugin.entries()], [])
  })

  it('beside a standby that is stopped, which no Stage waits for', async () => {
    await using sandbox = new Sandbox()
    using both = await start(sandbox, { keep: [] }, ['--inject', 'mount-delay=0.1'])
    const { fused, plugin } = both
    const standby = await StandbyProcess.start(sandbox, fused)
    standby.signal('SIGSTOP')
    const volume = new Volume(sandbox, plugin, 'volume')
    for (let round = 0; round < 12; round++) {
      await volume.stage()
      await volume.unstage()
    }
    const hangs = sandbox.directory('hangs')
    const failed = await outcome(fused.mount(hangs, { faults: ['init-hang'], deadlineMs: 2000 }))
    assert.equal(failed.code, 'DEADLINE_EXCEEDED')
    assert.deepEqual(layersAt(hangs), [])
    standby.signal('SIGCONT')
    await volume.stage()
    await standby.holdsAll()
    assert.deepEqual([layersAt(hangs), await fused.paths()], [[], [volume.staging]])
    await volume.unstage()
    await standby.holdsAll()
  })

  for (const title of ['before the mount', 'at INIT'] as const) {
    it(`when dummy-fused is stopped ${title} and goes on after the answer`, async () => {
      await using sandbox = new Sandbox()
      const fault = title === 'at INIT' ? 'init-hang' : 'mount-delay=3'
      using both = await start(sandbox, { keep: ['--watchdog', '0'] }, ['--inject', fault])
      const { fused, plugin } = both
      const volume = new Volume(sandbox, plugin, 'volume')
      const call = outcome(volume.stage())
      await eventually('dummy-fused has the call', () => fused.log().includes('/Mount'))
      if (title === 'at INIT') await eventually('its device is open', () => devicesOf(fused.pid) === 1)
      await stop(fused.pid)
      const { code } = await call
      assert.ok(code === 'DEADLINE_EXCEEDED' || code === 'UNAVAILABLE', code)
      assert.deepEqual(layersAt(volume.staging), [])
      process.kill(fused.pid, 'SIGCONT')
      await nothingOf(fused, volume)
    })
  }
})

describe('a dummy-fused that is stopped under keep', () => {
  it('is replaced, and its readers wait for seconds and get no error', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path, { options: ['direct_io'] })
    const reader = await Reader.start(sandbox, { mode: 'held', file: `${path}/dummy-file.txt`, intervalUs: 10_000 })
    await reader.reading()
    for (let round = 0; round < 2; round++) {
      const { pid } = fused
      await stop(pid)
      await fused.logged(`dummy-fused[${pid}] was stopped for 3 s: SIGKILL`)
      const { rounds } = await reader.progress()
      await reader.until('it reads on', (now) => now.rounds > rounds + 20)
      await fused.answers()
    }
    const { failed, wrong, longestStall } = await reader.summary()
    assert.deepEqual({ failed, wrong }, { failed: {}, wrong: 0 })
    // The watchdog would take 30 s.
    assert.ok(longestStall.ns < 20e9, JSON.stringify(longestStall))
  })
})
