import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FUSED_UNIT, FusedMachine, NOTHING_LEFT, STANDBY_UNIT } from '../support/fused-machine.ts'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'
import { GREETING } from '../support/mounts.ts'

/** include/uapi/linux/capability.h */
const CAP = { DAC_OVERRIDE: 1, DAC_READ_SEARCH: 2, SYS_CHROOT: 18, SYS_PTRACE: 19, SYS_ADMIN: 21 } as const

/** What each unit's process has, by proc_pid_status(5). */
const NEEDED: Readonly<Record<string, readonly (keyof typeof CAP)[]>> = {
  [UNIT]: ['DAC_OVERRIDE', 'DAC_READ_SEARCH', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_ADMIN'],
  [FUSED_UNIT]: ['DAC_OVERRIDE', 'DAC_READ_SEARCH', 'SYS_ADMIN'],
  [STANDBY_UNIT]: [],
}

describe('the units', () => {
  it('give each program the capabilities that it needs and no others, and a volume survives its daemon with them', async () => {
    await using fused = await FusedMachine.start()
    const { machine, plugin } = fused
    const [target = ''] = await plugin.publish('volume', 'pod')
    await fused.standbyOf(1)
    for (const [unit, names] of Object.entries(NEEDED)) {
      const pid = await machine.property(unit, 'MainPID')
      const status = await machine.output('cat', [`/proc/${pid}/status`])
      const wanted = names.reduce((set, name) => set | (1n << BigInt(CAP[name])), 0n)
      for (const set of ['CapEff', 'CapPrm', 'CapBnd']) {
        const [, mask = ''] = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, 'm').exec(status) ?? []
        assert.equal(BigInt(`0x${mask}`), wanted, `${set} of ${unit}`)
      }
      assert.match(status, /^NoNewPrivs:\s*1$/m)
    }
    assert.equal(await machine.property(UNIT, 'LimitCORE'), '0')
    const killed = await fused.kill()
    assert.equal((await plugin.read(target)).stdout, GREETING)
    await fused.ready(killed)
    await plugin.restored(target)
    await plugin.unpublish('volume', 'pod')
    assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
    for (const unit of Object.keys(NEEDED)) {
      const { stdout } = await machine.run('systemd-analyze', ['security', '--no-pager', unit])
      const [, exposure = ''] = /Overall exposure level for \S+: ([\d.]+) /.exec(stdout) ?? []
      // docs/systemd.md has the figures of systemd 252.
      assert.ok(Number(exposure) > 0 && Number(exposure) < 6.5, `${unit}: ${stdout}`)
    }
  })

  it('let the plugin make a mount namespace and no other, so that stacked restores leave one dead mount at a target', async () => {
    await using plugin = await InstalledPlugin.start('--restore-mounts=stack')
    const { machine } = plugin
    const [target = ''] = await plugin.publish('volume', 'pod')
    for (const _ of ['once', 'twice', 'three times']) {
      await machine.systemctl('restart', UNIT)
      await plugin.restored(target)
    }
    const layers = (await plugin.mounts()).filter((path) => path === target)
    assert.equal(layers.length, 2, await machine.journal(UNIT))
    assert.doesNotMatch(await machine.journal(UNIT), /cannot take off the dead mounts/)
    assert.equal(await machine.property(UNIT, 'RestrictNamespaces'), 'mnt')
    await plugin.unpublish('volume', 'pod')
    assert.deepEqual(await plugin.mounts(), [])
  })
})
