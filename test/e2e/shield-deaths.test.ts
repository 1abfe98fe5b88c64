import assert from 'node:assert/strict'
import { readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { childrenOf } from '../../src/os/processes/child-processes.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { shieldAt } from '../../src/shield/control-folder.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { SeededRandom, seedOf, wholeNumber } from '../support/random.ts'
import { Sandbox } from '../support/sandbox.ts'
import { DAEMONS, WRITABLE } from '../support/shield-daemons.ts'
import { assertNothingHidden, fill, Shielded, ShieldedHolder, ShieldedReader, ShieldedWriter } from '../support/shield.ts'
import { eventually } from '../support/wait.ts'

/** How often something is killed in each case. DUMMY_FUSE_SHIELD_DEATHS sets another number. */
const DEATHS = wholeNumber(process.env, 'DUMMY_FUSE_SHIELD_DEATHS') ?? 4

/** What is killed at one moment. In place of the third the shield is killed, and its successor too. */
const WHICH = [['shield'], ['shield', 'daemon'], [], ['daemon', 'shield'], ['daemon']] as const

/** Milliseconds of a successor's life: it is killed while it starts, takes over or serves. */
const LONGEST_PAUSE = 500

/** Kills the shield, its daemon or both, again and again; each time what uses the mount has to go on. DUMMY_FUSE_SEED repeats what is killed. */
async function die(context: TestContext, shielded: Shielded, goesOn: () => Promise<void>): Promise<void> {
  const seed = seedOf(process.env)
  context.diagnostic(`DUMMY_FUSE_SEED=${seed}`)
  const random = new SeededRandom(seed)
  for (let death = 0; death < DEATHS; death++) {
    // Each case has the shield alone killed first, both next, and its successor after that.
    const which = death < 3 ? death : random.between(0, WHICH.length - 1)
    if (which === 2) await shielded.killTwice(random.between(0, LONGEST_PAUSE))
    else await shielded.kill(WHICH[which] ?? [])
    await goesOn()
  }
}

describe('shield that is killed', () => {
  for (const name of ['bindfs', 'squashfuse', 'sshfs'])
    it(
      `has readers of ${name} not notice it, alone and together with its daemon, and leaves nothing`,
      { timeout: 280_000 },
      async (context) => {
        await using sandbox = new Sandbox()
        const folder = sandbox.directory('filled')
        fill(folder)
        const command = (await DAEMONS[name]?.(sandbox, folder)) ?? []
        const shielded = await Shielded.start(sandbox, command, ['--read-only'])
        const reader = await ShieldedReader.start(sandbox, shielded.mountpoint)
        await die(context, shielded, async () => await reader.check())
        await reader.end()
        await shielded.stop(sandbox)
      },
    )

  for (const [name, command] of Object.entries(WRITABLE))
    it(
      `has each change by ${name} done exactly once, alone and together with its daemon`,
      { timeout: 280_000 },
      async (context) => {
        await using sandbox = new Sandbox()
        const shielded = await Shielded.start(sandbox, command(sandbox))
        const writer = new ShieldedWriter(sandbox, shielded.mountpoint)
        await die(context, shielded, async () => await writer.goesOn())
        await writer.end()
        await shielded.stop(sandbox)
        await assertNothingHidden(sandbox)
      },
    )

  it('keeps files that are held while they are renamed, removed or replaced, and their folder removed', async (context) => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('written')
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folder, '{target}'])
    const holder = await ShieldedHolder.start(sandbox, shielded.mountpoint, folder)
    await die(context, shielded, async () => await holder.check())
    await holder.end()
    await shielded.stop(sandbox)
    assert.deepEqual(readdirSync(folder).toSorted(), ShieldedHolder.left)
  })

  it('has a successor when it is stopped by a signal or hangs, and readers go on', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('filled')
    fill(folder)
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folder, '{target}'])
    const reader = await ShieldedReader.start(sandbox, shielded.mountpoint)
    const { shield = 0 } = shielded
    process.kill(shield, 'SIGSTOP')
    await reader.check()
    assert.notEqual(shielded.shield, shield)
    assert.match(shielded.running.output(), new RegExp(`\\[${shield}\\] was stopped for 3 s: SIGKILL\\n`))
    await reader.end()
    await shielded.stop(sandbox)
  })

  it('leaves no mount when it is stopped while it is away', async () => {
    await using sandbox = new Sandbox()
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', sandbox.directory('filled'), '{target}'])
    const { shield } = shielded
    assert.ok(shield !== undefined)
    process.kill(shield, 'SIGKILL')
    shielded.running.child.kill('SIGTERM')
    // By its successor, or because there was none.
    const { status } = await shielded.running.ended
    assert.ok(status === 0 || status === 128 + 9, shielded.running.output())
    assert.deepEqual([sandbox.mounts(), shieldAt(shielded.mountpoint)], [[], undefined])
  })

  it('leaves no mount when it is killed while it is stopped, also where its mount point is given by a link', async () => {
    await using sandbox = new Sandbox()
    const mountpoint = join(sandbox.path, 'link')
    symlinkSync(sandbox.directory('mount'), mountpoint)
    const args = ['shield', mountpoint, '--', 'bindfs', '-f', sandbox.directory('filled'), '{target}']
    const running = sandbox.start(EXECUTABLE, args, { env: { ...process.env, TMPDIR: sandbox.directory('temporary') } })
    await eventually('it serves', () => running.output().includes(' serves '))
    const shield = childrenOf(running.pid).find((pid) => processStat(pid)?.comm === 'dummy-shield') ?? 0
    process.kill(shield, 'SIGSTOP')
    running.child.kill('SIGTERM')
    process.kill(shield, 'SIGKILL')
    await running.ended
    assert.deepEqual(sandbox.mounts(), [])
  })

  it('ends with its keeper when that is killed, and leaves nothing', async () => {
    await using sandbox = new Sandbox()
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', sandbox.directory('filled'), '{target}'])
    const pids = [shielded.shield, shielded.daemon]
    shielded.running.child.kill('SIGKILL')
    await shielded.running.ended
    await eventually('both have ended', () => pids.every((pid) => pid !== undefined && processStat(pid) === undefined))
    shielded.assertGone(sandbox)
  })
})
