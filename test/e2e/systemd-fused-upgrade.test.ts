import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fused, Session_State } from '../../src/rpc/fused_pb.ts'
import { MachineReader } from '../support/c-reader.ts'
import { assertUnharmed, startReaders } from '../support/chaos.ts'
import { FUSED_UNIT, FusedMachine, NOTHING_LEFT, runsWhatIsInPlace } from '../support/fused-machine.ts'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'
import { eventually } from '../support/wait.ts'

/** Each replaces one process of dummy-fused by another; what its journal is to say of it. */
const REPLACED: Readonly<Record<string, { act: (fused: FusedMachine) => Promise<unknown>; says: RegExp }>> = {
  'systemctl restart with another build in place': {
    act: async (fused) => {
      fused.replaceExecutable()
      await fused.machine.systemctl('restart', FUSED_UNIT)
    },
    says: /Draining for a successor/,
  },
  SIGHUP: { act: async ({ machine }) => await machine.systemctl('kill', '--signal=HUP', FUSED_UNIT), says: /Draining/ },
  'SIGTERM that is none of systemd’s': {
    act: async ({ machine }) => await machine.systemctl('kill', '--signal=TERM', FUSED_UNIT),
    says: /Draining/,
  },
  'the call Drain': {
    act: async (fused) => {
      using client = fused.client()
      assert.equal((await client.call(Fused.method.drain)).sessions, 1)
    },
    says: /Draining/,
  },
  'systemctl restart of its socket': {
    act: async ({ machine }) => await machine.systemctl('restart', 'dummy-fused.socket'),
    says: /Draining/,
  },
  'SIGKILL and systemctl restart at once': {
    act: async (fused) => {
      const restarting = fused.machine.systemctl('restart', FUSED_UNIT)
      await fused.kill()
      await restarting
    },
    says: /Main process exited, code=killed/,
  },
  'SIGABRT, as at a missed watchdog': {
    act: async ({ machine }) => await machine.systemctl('kill', '--signal=ABRT', '--kill-who=main', FUSED_UNIT),
    says: /Main process exited, code=(killed|dumped)/,
  },
}

/** A volume and readers of each kind. */
async function withReaders(fused: FusedMachine): Promise<ReadonlyMap<string, MachineReader>> {
  const [target = ''] = await fused.plugin.publish('volume', 'pod')
  return await startReaders((name, options) => fused.reader(`reader-${name}`, { ...options, file: `${target}/dummy-file.txt` }))
}

async function assertNothingLeft(fused: FusedMachine, ...volumes: readonly string[]): Promise<void> {
  for (const volume of volumes) await fused.plugin.unpublish(volume, 'pod')
  assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
}

/** The record of the only session at a path, as its file has it. */
function recordOf(fused: FusedMachine, path: string): { readonly file: string; readonly json: Record<string, unknown> } {
  const folder = fused.reach('/run/dummy-fused/sessions')
  for (const name of readdirSync(folder)) {
    const file = join(folder, name)
    const json = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    if (json.path === path) return { file, json }
  }
  throw new Error(`no record of ${path}`)
}

describe('dummy-fused.service, replaced while its volumes are in use', () => {
  it('goes on after each way of being replaced, with not one failed read', async (t) => {
    await using fused = await FusedMachine.start()
    const readers = await withReaders(fused)
    for (const [way, { act, says }] of Object.entries(REPLACED)) {
      await t.test(way, async () => {
        const before = await fused.ready()
        const standby = await fused.standbyOf(1)
        const seen = (await fused.journal()).length
        fused.replaceExecutable()
        await act(fused)
        await fused.ready(before)
        assert.ok(runsWhatIsInPlace(await fused.standbyOf(1, standby)), 'the next standby is of the new build')
        assert.match((await fused.journal()).slice(seen), says)
        assert.equal(await fused.stored(), 1)
        for (const [name, reader] of readers) {
          const { right, failed, wrong } = await reader.progress()
          assert.deepEqual({ failed, wrong }, { failed: {}, wrong: 0 }, name)
          await eventually(`${name} reads on`, async () => (await reader.progress()).right > right)
        }
      })
    }
    await assertUnharmed(readers, () => undefined)
    await assertNothingLeft(fused, 'volume')
  })

  it('outlives the plugin’s restart and its end, and is found by the next', async () => {
    await using fused = await FusedMachine.start()
    const readers = await withReaders(fused)
    const pid = fused.pid()
    await fused.machine.systemctl('restart', UNIT)
    await fused.machine.systemctl('stop', UNIT)
    await fused.machine.systemctl('start', UNIT)
    assert.equal(fused.pid(), pid)
    const { volumes } = await fused.plugin.status()
    assert.deepEqual(
      volumes.map(({ state, targets }) => [state, targets.map((target) => target.state)]),
      [['MOUNTED', ['MOUNTED']]],
    )
    await assertUnharmed(readers, () => undefined)
    await assertNothingLeft(fused, 'volume')
  })

  it('goes on while systemd executes itself anew', async () => {
    await using fused = await FusedMachine.start()
    const readers = await withReaders(fused)
    for (const how of ['daemon-reexec', 'daemon-reload', 'daemon-reexec']) {
      for (const delay of [0, 30, 200]) {
        const reexecuted = fused.machine.systemctl(how)
        await sleep(delay)
        const killed = await fused.kill()
        await reexecuted
        await fused.ready(killed)
      }
    }
    await fused.machine.systemctl('daemon-reexec')
    assert.equal(await fused.stored(), 1)
    await assertUnharmed(readers, () => undefined)
    await assertNothingLeft(fused, 'volume')
  })

  it('refuses a session whose record it is too old for, and keeps it for a newer one', async () => {
    await using fused = await FusedMachine.start()
    const readers = await withReaders(fused)
    const [other = ''] = await fused.plugin.publish('other', 'pod')
    const path = InstalledPlugin.stagingPath('volume')
    const { file, json } = recordOf(fused, path)
    writeFileSync(file, JSON.stringify({ ...json, version: 2 }))
    const before = await fused.ready()
    await fused.machine.systemctl('restart', FUSED_UNIT)
    await fused.ready(before)

    assert.match(await fused.journal(), /is held for 60 s: its record is of format 2, which a newer dummy-fused wrote/)
    using client = fused.client()
    const { sessions } = await client.call(Fused.method.list)
    assert.deepEqual(sessions.map(({ state }) => state).sort(), [Session_State.SERVED, Session_State.HELD])
    assert.equal((await fused.plugin.read(other)).stdout, 'Hello world!\n')
    for (const [name, reader] of readers) {
      await eventually(`${name} waits`, async () => (await reader.progress()).pendingNs > 500e6)
      assert.deepEqual((await reader.progress()).failed, {}, name)
    }
    assert.equal(await fused.stored(), 2)

    writeFileSync(file, JSON.stringify(json))
    await fused.machine.systemctl('restart', FUSED_UNIT)
    await assertUnharmed(readers, () => undefined)
    await assertNothingLeft(fused, 'volume', 'other')
  })
})
