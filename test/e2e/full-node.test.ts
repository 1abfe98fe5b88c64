import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { untilDone } from '../support/csi-client.ts'
import { layersAt, mountPoints } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { argumentsOf, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** The kubelet's default for the pods of one node. */
const FULL = 110

function volumes(sandbox: Sandbox, plugin: Plugin, count: number): readonly Volume[] {
  return Array.from({ length: count }, (_, index) => new Volume(sandbox, plugin, `volume-${index}`))
}

/**
 * Milliseconds for which a daemon counts as one that starts. One that waits for its storage for half a second lets another start (promptMount of the
 * plugin's limits), and on a busy machine a healthy mount may take as long.
 */
const STARTING = 300

/** Looks for as long as `work` takes, and returns the most daemons that were starting at one moment: new, and without their mount. */
async function mostStarting(plugin: Plugin, work: Promise<unknown>): Promise<number> {
  let most = 0
  const over = { yet: false }
  const end = (): void => {
    over.yet = true
  }
  work.then(end, end)
  const seen = new Map<number, number>()
  // One that is new may have come right after the look before: on a busy machine two looks are far apart.
  let before = performance.now()
  while (!over.yet) {
    const begun = performance.now()
    const paths = new Map(plugin.daemons().map((pid) => [pid, argumentsOf(pid).at(-1) ?? '']))
    // Read after the daemons, so that none counts that has mounted meanwhile.
    const mounted = mountPoints()
    const starting = [...paths].filter(([, path]) => path.startsWith('/') && !mounted.has(path)).map(([pid]) => pid)
    for (const pid of starting) if (!seen.has(pid)) seen.set(pid, before)
    const now = performance.now()
    most = Math.max(most, starting.filter((pid) => now - (seen.get(pid) ?? now) < STARTING).length)
    before = begun
    await sleep(60)
  }
  await work
  return most
}

void test('the volumes of a full node, staged at the same moment, all come to their end, and only so many daemons start at once', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--starts-at-once', '2'] })
  const all = volumes(sandbox, plugin, FULL)
  const staged = Promise.all(all.map((volume) => untilDone(() => volume.stage())))
  const most = await mostStarting(plugin, staged)
  assert.ok(most <= 2, `${most} daemons were starting at once`)
  assert.equal(plugin.daemons().length, FULL)
  assert.deepEqual(
    all.filter(({ staging }) => layersAt(staging).length !== 1).map(({ id }) => id),
    [],
  )
  await Promise.all(all.map((volume) => untilDone(() => volume.unstage())))
  assert.deepEqual(plugin.entries(), [])
  assert.deepEqual(sandbox.mounts(), [])
})

void test('a start whose turn does not come before the deadline is UNAVAILABLE with its place, and callers that repeat come to an end', async () => {
  await using sandbox = new Sandbox()
  // Each start has its turn for as long as its mount comes late: the deadline ends when few of them have had theirs, also on a fast machine.
  const args = ['--starts-at-once', '1', '--call-deadline', '4', '--inject', 'mount-delay=0.4']
  using plugin = await Plugin.start(sandbox, { args })
  const all = volumes(sandbox, plugin, 14)
  const answers = (await Promise.all(all.map((volume) => untilDone(() => volume.stage())))).flat()
  const places = answers.filter((answer) => /is number \d+ of \d+ in the queue .*its place is kept/.test(answer))
  assert.ok(places.length > 0, answers.join('\n'))
  assert.equal(plugin.daemons().length, all.length)
})

void test('a start that waits for its storage keeps no other from starting', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, {
    args: ['--starts-at-once', '1', '--inject', 'mount-delay=10', '--call-deadline', '60'],
  })
  const all = volumes(sandbox, plugin, 3)
  const staged = Promise.all(all.map((volume) => untilDone(() => volume.stage())))
  await eventually('all of them have started', () => plugin.daemons().length === all.length)
  assert.ok(all.every(({ staging }) => layersAt(staging).length === 0))
  await staged
})
