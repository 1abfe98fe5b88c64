import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MODES, startHosted } from '../model/hosts.ts'
import { outcome } from '../support/csi-client.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { Volume } from '../support/volume.ts'
import { Sandbox } from '../support/sandbox.ts'

describe('a staging path and a target that are not empty', () => {
  for (const mode of MODES) {
    it(`are mounted over, as the kubelet has it, and what is in them is there again afterwards: ${mode}`, async () => {
      await mountOver(mode)
    })
  }
})

async function mountOver(mode: (typeof MODES)[number]): Promise<void> {
  await using sandbox = new Sandbox()
  const { plugin } = await startHosted(mode, sandbox, [], { callDeadline: 60 })
  using _plugin = plugin
  const volume = new Volume(sandbox, plugin, 'volume')
  mkdirSync(volume.target)
  const files = [volume.staging, volume.target].map((path) => join(path, 'precious'))
  for (const file of files) writeFileSync(file, 'precious')
  await volume.stage()
  await volume.publish()
  assert.ok((await serves(sandbox, volume.staging)) && (await serves(sandbox, volume.target)))
  await plugin.kill()
  await plugin.restart()
  assert.ok(await serves(sandbox, volume.target), 'restored')
  for (const file of files) assert.ok(!existsSync(file))
  // The directory is not removed with what is in it; the CO hears of that.
  assert.equal((await outcome(volume.unpublish())).code, 'FAILED_PRECONDITION')
  await volume.unstage()
  for (const file of files) assert.ok(existsSync(file))
  assert.deepEqual([...layersAt(volume.staging), ...layersAt(volume.target), ...plugin.entries()], [])
}
