import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FAILS_AT_ONCE, FusedMachine, FUSED_UNIT } from '../support/fused-machine.ts'
import { InstalledPlugin } from '../support/installed-plugin.ts'
import { CHECKOUT_INSIDE } from '../support/nspawn.ts'
import { eventually } from '../support/wait.ts'

const UNINSTALL = `${CHECKOUT_INSIDE}/scripts/uninstall`

interface Traces {
  readonly mounts: readonly string[]
  readonly processes: readonly string[]
  readonly units: readonly string[]
  readonly run: readonly string[]
}

/** What the plugin and dummy-fused leave while they run; test/e2e/systemd-uninstall.test.ts looks at all files. */
async function traces({ machine, plugin }: FusedMachine): Promise<Traces> {
  const lines = async (file: string, args: readonly string[]): Promise<string[]> =>
    (await machine.run(file, args)).stdout.split('\n').filter(Boolean)
  return {
    mounts: await plugin.mounts(),
    processes: (await lines('ps', ['-e', '-o', 'comm='])).filter((name) => name.startsWith('dummy-fuse')).sort(),
    units: await lines('systemctl', ['list-units', '--all', '--full', '--no-legend', '--plain', '*dummy*fuse*']),
    run: await lines('find', ['/run', '/etc', '/usr/local', '-name', '*dummy-fuse*', '-print']),
  }
}

const NONE: Traces = { mounts: [], processes: [], units: [], run: [] }

async function assertRefuses({ machine }: FusedMachine, target: string, meanwhile?: () => Promise<unknown>): Promise<void> {
  const uninstalling = machine.run(UNINSTALL)
  await meanwhile?.()
  const { status, stderr } = await uninstalling
  assert.equal(status, 1)
  assert.match(stderr, /volumes are in use; unpublish them first, .*--force/)
  assert.ok(stderr.includes(`volume volume at ${target}\n`), stderr)
}

async function assertRemoves(fused: FusedMachine, ...args: readonly string[]): Promise<void> {
  const { status, stderr } = await fused.machine.run(UNINSTALL, args)
  assert.equal(status, 0, stderr)
  assert.deepEqual(await traces(fused), NONE)
}

describe('scripts/uninstall where dummy-fused serves the volumes', () => {
  it('refuses while volumes are published and dummy-fused is stopped, and leaves nothing behind of volumes that nobody uses', async () => {
    await using fused = await FusedMachine.start()
    const { machine, plugin } = fused
    const [target = ''] = await plugin.publish('volume', 'pod')
    await machine.systemctl('stop', FUSED_UNIT)
    await assertRefuses(fused, target)
    await machine.systemctl('start', FUSED_UNIT)
    await plugin.unpublish('volume', 'pod')
    await plugin.publish('volume')
    await assertRemoves(fused)
  })

  it('refuses while volumes are published, and changes nothing, unless --force tells it: then users get ENOTCONN', async (t) => {
    await using fused = await FusedMachine.start()
    const { machine, plugin } = fused
    const [target = ''] = await plugin.publish('volume', 'pod')
    const file = `${target}/dummy-file.txt`
    const readers = [
      await fused.reader('held', { mode: 'held', file, intervalUs: 10_000 }),
      await fused.reader('apart', { mode: 'cwd', file, intervalUs: 10_000, privateNamespace: true }),
    ]
    for (const reader of readers) await reader.reading()
    for (const state of ['running', 'killed'] as const) {
      await t.test(`refuses while dummy-fused is ${state}`, async () => {
        await assertRefuses(fused, target, async () => {
          if (state === 'killed') await fused.ready(await fused.kill())
        })
        assert.equal(await machine.property(FUSED_UNIT, 'ActiveState'), 'active')
        for (const reader of readers) {
          const { right } = await reader.progress()
          await eventually('it reads on', async () => (await reader.progress()).right > right)
          assert.deepEqual((await reader.progress()).failed, {})
        }
      })
    }

    await t.test('takes everything away with --force', async () => {
      await assertRemoves(fused, '--force')
      for (const reader of readers) {
        await eventually('it gets ENOTCONN', async () => ((await reader.progress()).failed.ENOTCONN ?? 0) > 0)
      }
    })
  })

  it('takes everything away of a dummy-fused that crashes at each start', async () => {
    await using fused = await FusedMachine.start()
    await fused.plugin.publish('volume', 'pod')
    const staging = InstalledPlugin.stagingPath('volume')
    assert.ok((await fused.plugin.mounts()).includes(staging))
    fused.replaceExecutable(FAILS_AT_ONCE)
    await fused.kill()
    await assertRemoves(fused, '--force')
  })
})
