import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { assertUnharmed, type ChaosSite, READER_INTERVAL, startReaders, unleash } from '../support/chaos.ts'
import { chaosPlan, chaosScale, withSeed } from '../support/chaos-plan.ts'
import { FusedMachine, NOTHING_LEFT } from '../support/fused-machine.ts'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'
import { eventually } from '../support/wait.ts'

/** takeover-chaos.test.ts has the whole number under keep; here systemd starts the successors and keeps their descriptors. */
const KILLS = 15

/** The plugin's next process answers. */
async function pluginAnswers(plugin: InstalledPlugin, not: number): Promise<void> {
  const another = async (): Promise<boolean> => {
    const pid = await plugin.mainPid()
    return pid !== 0 && pid !== not && (await plugin.machine.property(UNIT, 'ActiveState')) === 'active'
  }
  await eventually('another plugin is ready', another, 60_000)
}

async function restartPlugin({ plugin, machine }: FusedMachine, how: 'stop' | 'kill'): Promise<void> {
  const before = await plugin.mainPid()
  if (how === 'kill') await machine.systemctl('kill', '--signal=KILL', UNIT)
  else await machine.systemctl('restart', UNIT)
  await pluginAnswers(plugin, before)
}

describe('dummy-fused under systemd, whatever is killed, restarted and replaced', () => {
  it('never fails a read, and leaves nothing behind', { timeout: 600_000 }, async (t) => {
    await using fused = await FusedMachine.start()
    const { plugin } = fused
    const scale = chaosScale(process.env, KILLS)
    await withSeed(
      scale,
      async (log) => {
        const [shared = ''] = await plugin.publish('shared', 'pod')
        const [alone = ''] = await plugin.publish('alone', 'pod')
        const readers = await startReaders((name, options) =>
          fused.reader(`reader-${name}`, { ...options, file: `${shared}/dummy-file.txt` }),
        )
        const mapped = await fused.reader('reader-mmap', {
          mode: 'mmap',
          file: `${alone}/dummy-file.txt`,
          intervalUs: READER_INTERVAL,
        })
        readers.set('mmap', mapped)
        await mapped.reading()
        const site: ChaosSite = {
          mapped,
          daemon: () => fused.pid(),
          restartPlugin: async (how) => await restartPlugin(fused, how),
          upgrade: async () => await fused.upgrade(),
          inspect: async () => {
            const { daemon, requests } = await fused.inspect(InstalledPlugin.stagingPath('alone'))
            return { pid: daemon?.pid ?? 0, reads: Number(requests.READ ?? 0n) }
          },
        }
        await unleash(site, chaosPlan(scale), log)
        await fused.ready()
        await assertUnharmed(readers, (line) => t.diagnostic(line))
        for (const volume of ['shared', 'alone']) await plugin.unpublish(volume, 'pod')
        assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
      },
      async () => await fused.journal(),
    )
  })
})
