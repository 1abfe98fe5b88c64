import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { assertRight, type FaultRow, sweep, titleOf } from '../support/faults.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { type Fault, Injection } from '../support/strace.ts'
import { eventually } from '../support/wait.ts'

interface Row extends FaultRow {
  readonly step: 'mount' | 'unmount'
}

const ROWS: readonly Row[] = [
  { step: 'mount', call: 'openat', errors: ['EMFILE', 'EIO'] },
  { step: 'mount', call: 'fsopen', errors: ['ENOMEM', 'EMFILE'] },
  { step: 'mount', call: 'fsmount', errors: ['ENOMEM', 'EMFILE'] },
  { step: 'mount', call: 'move_mount', errors: ['ENOMEM', 'ENOSPC', 'EINTR'] },
  { step: 'mount', call: 'rename', errors: ['ENOSPC', 'EIO'] },
  { step: 'mount', call: 'sendmsg', errors: ['ENOMEM'] },
  { step: 'mount', call: 'pipe2', errors: ['EMFILE'] },
  { step: 'unmount', call: 'umount2', errors: ['ENOMEM', 'EIO', 'EINTR'] },
  { step: 'unmount', call: 'unlink', errors: ['EIO', 'ENOMEM'] },
  { step: 'unmount', call: 'sendmsg', errors: ['ENOMEM'] },
]

describe('a system call of dummy-fused that fails', () => {
  for (const { step, ...row } of ROWS) {
    it(`${row.call} in ${step}, by ${row.errors.join(', ')}`, { timeout: 120_000 }, async (t) => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, { keep: [] })
      const cases = await sweep(row, async (fault) => await fail(sandbox, fused, step, fault))
      t.diagnostic(`${cases} cases`)
    })
  }
})

/** One case; tells how many calls were made to fail. */
async function fail(sandbox: Sandbox, fused: FusedProcess, step: Row['step'], fault: Fault): Promise<number> {
  const path = sandbox.directory(`${fault.error}-${fault.when}`)
  const { pid } = fused
  if (step === 'unmount') await fused.mount(path)
  const injection = await Injection.into(sandbox, pid, fault)
  const failed = await outcome(step === 'mount' ? fused.mount(path) : fused.unmount(path))
  const injected = await injection.leave()
  const title = `${titleOf(fault, failed)}; dummy-fused said: ${fused.log()}`
  assert.equal(fused.pid, pid, `${title}: another process`)
  assertRight(fault, failed)
  if (step === 'mount') {
    if (failed.code !== 'OK') {
      assert.deepEqual([layersAt(path), fused.records(), await fused.paths()], [[], [], []], title)
      await fused.mount(path)
    }
    assert.ok(await serves(sandbox, path), title)
    assert.equal(layersAt(path).length, 1, title)
  }
  await fused.unmount(path)
  assert.deepEqual([sandbox.mounts(), await fused.paths()], [[], []], title)
  await eventually(`${title}: its record and descriptors are gone`, () => {
    return fused.records().length + devicesOf(pid) + devicesOf(fused.running.pid) === 0
  })
  return injected
}
