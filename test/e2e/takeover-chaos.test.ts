import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { Reader } from '../support/c-reader.ts'
import { assertUnharmed, type ChaosSite, READER_INTERVAL, startReaders, unleash } from '../support/chaos.ts'
import { KeptFused, NOTHING_KEPT } from '../support/chaos-kept.ts'
import { chaosPlan, chaosScale, withSeed } from '../support/chaos-plan.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

describe('dummy-fused under keep, whatever is killed, restarted and replaced', () => {
  it('never fails a read, and leaves nothing behind', { timeout: 600_000 }, async (t) => {
    await using sandbox = new Sandbox()
    const fused = await KeptFused.start(sandbox, { replaceable: true })
    using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', fused.socket] })
    const scale = chaosScale(process.env, 50)
    const storm = async (log: (line: string) => void): Promise<void> => {
      const [shared, alone] = [new Volume(sandbox, plugin, 'shared'), new Volume(sandbox, plugin, 'alone')]
      for (const volume of [shared, alone]) {
        await volume.stage()
        await volume.publish()
      }
      const readers = await startReaders((_, options) =>
        Reader.start(sandbox, { ...options, file: `${shared.target}/dummy-file.txt` }),
      )
      const file = `${alone.target}/dummy-file.txt`
      const mapped = await Reader.start(sandbox, { mode: 'mmap', file, intervalUs: READER_INTERVAL })
      readers.set('mmap', mapped)
      await mapped.reading()
      const site: ChaosSite = {
        mapped,
        daemon: () => fused.pid(),
        restartPlugin: async (how) => {
          await plugin[how]()
          await plugin.restart()
        },
        upgrade: async () => {
          fused.replaceExecutable()
          await fused.upgrade()
        },
        inspect: async () => {
          const { daemon, requests } = await fused.inspect(alone.staging)
          return { pid: daemon?.pid ?? 0, reads: Number(requests.READ ?? 0n) }
        },
      }
      await unleash(site, chaosPlan(scale), log)
      await fused.ready()
      await assertUnharmed(readers, (line) => t.diagnostic(line))
      for (const volume of [shared, alone]) {
        await volume.unpublish()
        await volume.unstage()
      }
      assert.deepEqual(await fused.leftovers(), NOTHING_KEPT)
      assert.deepEqual(sandbox.mounts(), [])
      assert.deepEqual(plugin.entries(), [])
      // A reader has told its last numbers before it has ended.
      const expected = [fused.keep.pid, fused.pid() ?? 0, plugin.pid].sort()
      await eventually('nothing else of the sandbox runs', () => isDeepStrictEqual(sandbox.processes().sort(), expected))
    }
    await withSeed(scale, storm, () => Promise.resolve(`${fused.log()}\n${plugin.log()}`))
  })
})
