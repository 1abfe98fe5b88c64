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
    act: async ({ machine }) => await machine.systemctl('restart', FUSED_UNIT),
    says: /Draining for a successor/,
  },
  SIGHUP: { act: async ({ machine }) => await machine.systemctl('kill', '--signal=HUP', FUSED_UNIT), says: /Draining/ },
  'SIGTERM that is none of systemd’s': {
    act: async ({ machine }) => await machine.systemctl('kill', '--signal=TERM', FUSED_UNIT),
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

/** What systemd is told to do, and how many milliseconds later the daemon is killed. */
const REEXECUTED: readonly (readonly ['daemon-reexec' | 'daemon-reload', number])[] = [
  ['daemon-reexec', 0],
  ['daemon-reload', 30],
  ['daemon-reexec', 30],
  ['daemon-reexec', 200],
]

/** A volume and readers of each kind. */
async function withReaders(fused: FusedMachine): Promise<ReadonlyMap<string, MachineReader>> {
  const [target = ''] = await fused.plugin.publish('volume', 'pod')
  return await startReaders((name, options) => fused.reader(`reader-${name}`, { ...options, file: `${target}/dummy-file.txt` }))
}

/** Each has read on, and nothing but the file's content. */
async function assertAllRead(readers: ReadonlyMap<string, MachineReader>): Promise<void> {
  for (const [name, reader] of readers) {
    const { right, failed, wrong } = await reader.progress()
    assert.deepEqual({ failed, wrong }, { failed: {}, wrong: 0 }, name)
    await eventually(`${name} reads on`, async () => (await reader.progress()).right > right)
  }
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
  it('goes on with not one failed read, and leaves nothing behind', async (t) => {
    await using fused = await FusedMachine.start()
    const readers = await withReaders(fused)
    for (const [way, { act, says }] of Object.entries(REPLACED)) {
      await t.test(`after ${way}`, async () => {
        const before = await fused.ready()
        const standby = await fused.standbyOf(1)
        const seen = (await fused.journal()).length
        fused.replaceExecutable()
        await act(fused)
        await fused.ready(before)
        assert.ok(runsWhatIsInPlace(await fused.standbyOf(1, standby)), 'the next standby is of the new build')
        assert.match((await fused.journal()).slice(seen), says)
        assert.equal(await fused.stored(), 1)
        await assertAllRead(readers)
      })
    }

    await t.test('after the plugin’s restart and its end, and is found by the next', async () => {
      const pid = await fused.ready()
      await fused.machine.systemctl('restart', UNIT)
      await fused.machine.systemctl('stop', UNIT)
      await fused.machine.systemctl('start', UNIT)
      assert.equal(fused.pid(), pid)
      const { volumes } = await fused.plugin.status()
      assert.deepEqual(
        volumes.map(({ state, targets }) => [state, targets.map((target) => target.state)]),
        [['MOUNTED', ['MOUNTED']]],
      )
      await assertAllRead(readers)
    })

    for (const [how, delay] of REEXECUTED) {
      await t.test(`killed ${delay} ms after systemctl ${how}`, async () => {
        const reexecuted = fused.machine.systemctl(how)
        await sleep(delay)
        const killed = await fused.kill()
        await reexecuted
        await fused.ready(killed)
        await fused.machine.systemctl('daemon-reexec')
        assert.equal(await fused.stored(), 1)
        await assertAllRead(readers)
      })
    }

    await t.test('holds a session whose record it is too old for, for a newer one', async () => {
      const [other = ''] = await fused.plugin.publish('other', 'pod')
      const { file, json } = recordOf(fused, InstalledPlugin.stagingPath('volume'))
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
      await assertAllRead(readers)
    })

    await assertUnharmed(readers, () => undefined)
    for (const volume of ['volume', 'other']) await fused.plugin.unpublish(volume, 'pod')
    assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
  })
})
