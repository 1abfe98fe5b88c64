import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { SeededRandom, seedOf } from '../support/random.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** Moments, spread over the time that the calls take, at which the plugin is killed. */
const MOMENTS = 3

type Step = 'stage' | 'publish' | 'unpublish' | 'unstage'

/** The calls that are cut off, all at once, each of a volume of its own, and what was done before with that volume. */
const CALLS: Readonly<Record<string, { readonly before: readonly Step[]; readonly call: Step }>> = {
  stage: { before: [], call: 'stage' },
  publish: { before: ['stage'], call: 'publish' },
  'stage-by-publish': { before: [], call: 'publish' },
  'second-publish': { before: ['publish'], call: 'publish' },
  unpublish: { before: ['publish'], call: 'unpublish' },
  unstage: { before: ['stage'], call: 'unstage' },
}

/** Volumes on which everything that comes before their calls has been done. */
async function prepare(sandbox: Sandbox, plugin: Plugin, suffix: string): Promise<readonly (readonly [Volume, Step])[]> {
  return await Promise.all(
    Object.entries(CALLS).map(async ([name, { before, call }]) => {
      const volume = new Volume(sandbox, plugin, `${name}-${suffix}`)
      for (const step of before) await volume[step]()
      return [volume, call] as const
    }),
  )
}

async function assertDone(sandbox: Sandbox, volume: Volume, call: Step): Promise<void> {
  assert.equal(layersAt(volume.staging).length, call === 'unstage' ? 0 : 1, volume.id)
  assert.equal(layersAt(volume.target).length, call === 'publish' ? 1 : 0, volume.id)
  if (call === 'stage') assert.ok(await serves(sandbox, volume.staging), volume.id)
  if (call === 'publish') assert.ok(await serves(sandbox, volume.target), volume.id)
}

async function takeAway(volumes: readonly (readonly [Volume, Step])[]): Promise<void> {
  await Promise.all(
    volumes.map(async ([volume]) => {
      await volume.unpublish()
      await volume.unstage()
    }),
  )
}

for (const host of ['child', 'detached'] as const) {
  const title = `kill -9 of the plugin at any moment of its calls (--fuse-host ${host}): after a restart they succeed and nothing is left over`
  void test(title, async (t) => {
    const seed = seedOf(process.env)
    t.diagnostic(`seed ${seed} (DUMMY_FUSE_SEED=${seed} repeats it)`)
    const random = new SeededRandom(seed)
    await using sandbox = new Sandbox()
    // Five daemons start at the same time.
    using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', host], callDeadline: 60 })

    const whole = await prepare(sandbox, plugin, 'whole')
    const began = performance.now()
    await Promise.all(whole.map(([volume, call]) => volume[call]()))
    const length = performance.now() - began
    await takeAway(whole)

    for (let moment = 0; moment < MOMENTS; moment++) {
      const delay = ((moment + random.roll()) / MOMENTS) * length * 1.1
      await t.test(`after ${delay.toFixed(1)} of ${length.toFixed(1)} ms`, async () => {
        const volumes = await prepare(sandbox, plugin, String(moment))
        const cut = volumes.map(async ([volume, call]) => await outcome(volume[call]()))
        await sleep(delay)
        await plugin.kill()
        for (const { code, details } of await Promise.all(cut))
          assert.ok(code === 'OK' || code === 'UNAVAILABLE', `${code}: ${details}`)
        await plugin.restart()
        assert.ok(!plugin.log().includes('damaged'), plugin.log())
        await Promise.all(volumes.map(([volume, call]) => volume[call]()))
        for (const [volume, call] of volumes) await assertDone(sandbox, volume, call)
        await takeAway(volumes)
        // A daemon whose plugin was killed while it started ends by itself.
        await eventually('no daemon is left', () => plugin.daemons().length === 0)
        assert.deepEqual([...sandbox.mounts(), ...plugin.entries()], [])
      })
    }
  })
}
