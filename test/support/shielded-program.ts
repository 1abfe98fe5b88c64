import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { childrenOf } from '../../src/os/processes/child-processes.ts'
import { processStat, sendSignal } from '../../src/os/processes/processes.ts'
import { shieldAt } from '../../src/shield/control-folder.ts'
import type { Plugin } from './plugin.ts'
import { keptOfPrograms, type ProgramVolume } from './program.ts'
import type { Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** The processes of a volume that a program serves behind a shield. */
interface ShieldedProcesses {
  readonly keep: number
  readonly shield: number
  readonly program: number
}

/** Those that serve now; undefined while one of them is away. */
function processesNow(volume: ProgramVolume): ShieldedProcesses | undefined {
  const keep = volume.daemon()
  const shield = childrenOf(keep).find((pid) => processStat(pid)?.comm === 'dummy-shield')
  const program = shield === undefined ? undefined : childrenOf(shield).find((pid) => processStat(pid) !== undefined)
  return shield === undefined || program === undefined ? undefined : { keep, shield, program }
}

/** The processes of a volume that is staged. */
export function processesOfShielded(volume: ProgramVolume): ShieldedProcesses {
  const found = processesNow(volume)
  assert.ok(found !== undefined, 'the shield and its program run')
  assert.equal(processStat(found.keep)?.comm, 'dummy-fuse-keep')
  return found
}

/** Kills some processes of a volume at one moment, in this order, and resolves to its processes when others have taken their places. */
export async function killShielded(volume: ProgramVolume, ...which: readonly ('shield' | 'program')[]): Promise<ShieldedProcesses> {
  const before = processesOfShielded(volume)
  // The end of the first may have ended the others meanwhile.
  for (const name of which) sendSignal(before[name], 'SIGKILL')
  return await eventually(
    'others have taken their places',
    () => {
      const now = processesNow(volume)
      return now !== undefined && which.every((name) => now[name] !== before[name]) ? now : undefined
    },
    60_000,
  )
}

/** Asserts that nothing of volumes that are not staged any more is left: no process, no mount and no file. */
export async function assertNothingLeft(sandbox: Sandbox, plugin: Plugin, volumes: readonly ProgramVolume[]): Promise<void> {
  // A stat(1) that the plugin has asked a mount by may end after the answer that did not wait for it.
  await eventually('no question is left', () => sandbox.processes('stat').length === 0)
  const shields = volumes.flatMap(({ staging }) => shieldAt(staging) ?? [])
  assert.deepEqual([sandbox.mounts(), shields, keptOfPrograms(plugin), plugin.entries()], [[], [], [], []], plugin.log())
  const targets = join(plugin.stateDir, 'targets')
  const left = readdirSync(plugin.stateDir).includes('targets') ? readdirSync(targets) : []
  assert.deepEqual(left, [])
}
