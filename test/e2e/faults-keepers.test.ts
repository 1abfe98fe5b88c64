import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Reader } from '../support/c-reader.ts'
import { outcome } from '../support/csi-client.ts'
import { assertRight, type FaultRow, sweep, titleOf } from '../support/faults.ts'
import { FusedProcess } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { StandbyProcess } from '../support/standby.ts'
import { type Fault, Injection } from '../support/strace.ts'
import { eventually } from '../support/wait.ts'

/** A fault of what holds dummy-fused's descriptors, while dummy-fused mounts a volume, or while it is killed. */
interface Row extends FaultRow {
  readonly keeper: 'keep' | 'standby'
  readonly step: 'mount' | 'kill'
}

const ROWS: readonly Row[] = [
  { keeper: 'keep', step: 'mount', call: 'recvmsg', errors: ['ENOMEM', 'EINTR'] },
  { keeper: 'keep', step: 'kill', call: 'clone', errors: ['EAGAIN', 'ENOMEM'] },
  { keeper: 'keep', step: 'kill', call: 'execve', errors: ['ENOMEM'], follow: true },
  { keeper: 'standby', step: 'mount', call: 'recvmsg', errors: ['ENOMEM', 'EINTR'] },
  { keeper: 'standby', step: 'kill', call: 'openat', errors: ['EMFILE', 'EIO'] },
]

describe('a system call that fails of what holds the descriptors of dummy-fused', () => {
  for (const { keeper, step, ...row } of ROWS) {
    it(`${keeper}'s ${row.call} at a ${step}, by ${row.errors.join(', ')}`, { timeout: 120_000 }, async (t) => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, { keep: [] })
      const steady = sandbox.directory('steady')
      await fused.mount(steady)
      const reader = await Reader.start(sandbox, { mode: 'held', file: `${steady}/dummy-file.txt`, intervalUs: 10_000 })
      await reader.reading()
      const cases = await sweep(row, async (fault) => await fail(sandbox, fused, { keeper, step }, fault))
      const { wrong, failed } = await reader.summary()
      assert.deepEqual({ wrong, failed }, { wrong: 0, failed: {} }, 'a reader noticed')
      await fused.unmount(steady)
      await nothingLeft(fused)
      t.diagnostic(`${cases} cases`)
    })
  }
})

/** One case; tells how many calls were made to fail. */
async function fail(
  sandbox: Sandbox,
  fused: FusedProcess,
  { keeper, step }: Omit<Row, keyof FaultRow>,
  fault: Fault,
): Promise<number> {
  const path = sandbox.directory(`${fault.error}-${fault.when}`)
  const standby = keeper === 'standby' ? await StandbyProcess.start(sandbox, fused) : undefined
  const pid = standby?.pid ?? fused.running.pid
  const injection = await Injection.into(sandbox, pid, fault)
  const title = `${fault.call} ${fault.when}: ${fault.error}`
  if (step === 'mount') {
    const failed = await outcome(fused.mount(path))
    assertRight(fault, failed)
    if (failed.code !== 'OK') await fused.mount(path)
    assert.ok(await serves(sandbox, path), titleOf(fault, failed))
    // What is held elsewhere outlives the daemon.
    if (standby !== undefined) await standby.holdsAll()
  } else {
    // The log of keep may be behind its daemon's answer.
    await fused.logged(`dummy-fused[${fused.pid}] is ready`)
    const ready = (): number => fused.log().split(' is ready').length
    const before = ready()
    await fused.kill()
    // Each attempt to start a successor may fail, as long as the fault is there.
    await eventually(`${title}: the fault or a successor comes`, () => injection.count > 0 || ready() > before, 20_000)
  }
  const injected = await injection.leave()
  await fused.answers()
  assert.equal(fused.running.child.exitCode, null, `${title}: keep ended: ${fused.log()}`)
  if (step === 'mount') {
    await fused.replace()
    assert.ok(await serves(sandbox, path), `${title}: ${fused.log()}`)
    await fused.unmount(path)
  }
  // One that has served ends by itself.
  standby?.signal('SIGTERM')
  assert.equal((await standby?.ended())?.status ?? 0, 0, `${title}: ${standby?.log() ?? ''}`)
  assert.deepEqual(await fused.paths(), [`${sandbox.path}/steady`], title)
  return injected
}

async function nothingLeft(fused: FusedProcess): Promise<void> {
  await eventually('nothing is left', async () => {
    const held = devicesOf(fused.pid) + devicesOf(fused.running.pid)
    return held + fused.records().length + (await fused.paths()).length === 0
  })
}
