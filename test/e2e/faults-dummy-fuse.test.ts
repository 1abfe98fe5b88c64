import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type FaultRow, sweep } from '../support/faults.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { type Fault, faultArgs, injectedIn } from '../support/strace.ts'
import { eventually } from '../support/wait.ts'

const DEVICE = '/dev/fuse'

const ROWS: readonly FaultRow[] = [
  { call: 'openat', path: DEVICE, errors: ['EMFILE', 'ENOMEM', 'EIO', 'EINTR'], follow: true },
  { call: 'fsopen', errors: ['ENOMEM', 'EMFILE', 'ENOSYS'], follow: true },
  { call: 'fsconfig', errors: ['ENOMEM', 'EIO'], follow: true },
  { call: 'fsmount', errors: ['ENOMEM', 'EMFILE'], follow: true },
  { call: 'move_mount', errors: ['ENOMEM', 'ENOSPC', 'EINTR'], follow: true },
  { call: 'read', path: DEVICE, errors: ['EINTR', 'EIO'], follow: true },
  { call: 'write', path: DEVICE, errors: ['ENOMEM'], follow: true },
]

describe('a system call of dummy-fuse that fails', () => {
  for (const row of ROWS) {
    it(`${row.call}, by ${row.errors.join(', ')}`, { timeout: 120_000 }, async (t) => {
      await using sandbox = new Sandbox()
      const cases = await sweep(row, async (fault) => await fail(sandbox, fault))
      t.diagnostic(`${cases} cases`)
    })
  }
})

/** Either it mounts, and serves, or it ends with one line that says why, and has mounted nothing. Tells how many calls were made to fail. */
async function fail(sandbox: Sandbox, fault: Fault): Promise<number> {
  const name = `${fault.error}-${fault.when}`
  const path = sandbox.directory(name)
  const output = join(sandbox.path, `strace-${name}`)
  const running = sandbox.start('strace', ['--seccomp-bpf', ...faultArgs(fault, output), DUMMY_FUSE, '-f', path])
  const title = (): string => `${fault.call} ${fault.when}: ${fault.error}: ${running.output()}`
  let result: Result | undefined
  void running.ended.then((ended) => (result = ended))
  await eventually(title(), () => result !== undefined || layersAt(path).length > 0, 20_000)
  if (result === undefined) {
    // A request whose answer the kernel did not take fails; the next one does not. A session that ended serves nothing.
    const served = (await serves(sandbox, path)) || (await serves(sandbox, path))
    spawnSync('umount', ['--lazy', path])
    result = await eventually(`${title()} it ends`, () => result, 20_000)
    if (result.status === 0) assert.ok(served, title())
  }
  if (result.status !== 0) {
    assert.equal(result.signal, null, title())
    assert.match(result.stderr.trimEnd(), /^[^\n]*\/[^\n]*$/, `${title()}: one line that names a path`)
  }
  assert.deepEqual([layersAt(path), sandbox.processes()], [[], []], title())
  return injectedIn(output)
}
