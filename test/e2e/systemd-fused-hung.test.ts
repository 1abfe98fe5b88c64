import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { FusedMachine, NOTHING_LEFT } from '../support/fused-machine.ts'
import { InstalledPlugin } from '../support/installed-plugin.ts'
import { GREETING } from '../support/mounts.ts'
import { eventually } from '../support/wait.ts'

describe('dummy-fused under a systemd that hangs', () => {
  it('leaves no mount of a Stage that is answered DEADLINE_EXCEEDED, serves on, and succeeds once systemd goes on', async () => {
    await using fused = await FusedMachine.start({ standby: false })
    const { plugin } = fused
    const { systemd } = fused.machine
    const [target = ''] = await plugin.publish('before', 'pod')
    const staging = InstalledPlugin.stagingPath('volume')
    process.kill(systemd, 'SIGSTOP')
    try {
      await eventually('systemd is stopped', () => processStat(systemd)?.state === 'T')
      // More messages than its queue holds.
      for (let round = 0; round < 3; round++) await assert.rejects(plugin.publish('volume'), /DeadlineExceeded/)
      assert.deepEqual(
        (await plugin.mounts()).filter((path) => path === staging),
        [],
      )
      assert.equal((await plugin.read(target)).stdout, GREETING)
    } finally {
      process.kill(systemd, 'SIGCONT')
    }
    await eventually('systemd keeps the descriptor of one session', async () => (await fused.stored()) === 1)
    assert.deepEqual(
      (await plugin.mounts()).filter((path) => path === staging),
      [],
    )
    await plugin.publish('volume')
    await plugin.unpublish('volume')
    assert.equal((await plugin.read(target)).stdout, GREETING)
    await plugin.unpublish('before', 'pod')
    const left = await fused.leftovers()
    assert.deepEqual(left, NOTHING_LEFT)
  })
})
