import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { assertRight, type FaultRow, sweep, titleOf } from '../support/faults.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { type Fault, Injection } from '../support/strace.ts'
import { eventually } from '../support/wait.ts'
import { Volume } from '../support/volume.ts'

/** The steps of a volume's life, in their order. */
const STEPS = ['stage', 'publish', 'unpublish', 'unstage'] as const

type Step = (typeof STEPS)[number]

/** Steps of a volume's life in which system calls fail. */
interface Row extends FaultRow {
  readonly steps: readonly Step[]
  /** Of a plugin that has just started, and has no spare dummy-fuse. */
  readonly fresh?: boolean
  /** Calls on the log alone. */
  readonly toLog?: boolean
}

const ROWS: readonly Row[] = [
  { call: 'openat', steps: STEPS, errors: ['EMFILE', 'EIO'] },
  // libuv ends the process where it cannot write to its own descriptors, which does not happen; of the plugin's own, this is the log.
  { call: 'write', steps: ['stage', 'unstage'], toLog: true, errors: ['ENOSPC', 'EIO'] },
  { call: 'rename', steps: ['stage', 'publish'], errors: ['ENOSPC', 'EIO'] },
  { call: 'fsync', steps: ['unpublish', 'unstage'], errors: ['ENOSPC', 'EIO'], follow: true },
  { call: 'unlink', steps: ['unpublish', 'unstage'], errors: ['EIO', 'ENOMEM'] },
  { call: 'statx', steps: ['stage', 'publish'], errors: ['EIO', 'ENOMEM'] },
  { call: 'mkdir', steps: ['publish'], errors: ['ENOSPC', 'EIO'] },
  { call: 'rmdir', steps: ['unpublish'], errors: ['EIO', 'ENOMEM'] },
  { call: 'open_tree,mount_setattr,move_mount', steps: ['publish'], errors: ['ENOMEM', 'ENOSPC', 'EINTR', 'EIO'] },
  { call: 'umount2', steps: ['unpublish', 'unstage'], errors: ['ENOMEM', 'EINTR', 'EIO'], follow: true },
  { call: 'socketpair', steps: ['stage'], fresh: true, errors: ['EMFILE', 'ENOMEM'] },
  { call: 'pipe2', steps: ['stage'], fresh: true, errors: ['EMFILE'] },
  { call: 'clone,clone3,vfork', steps: ['stage'], fresh: true, errors: ['EAGAIN', 'ENOMEM'] },
  { call: 'execve', steps: ['stage'], fresh: true, errors: ['ENOMEM', 'EIO'], follow: true },
]

/** Takes a volume to where a step is the next, and does the rest of its life. */
class Life {
  readonly #volume: Volume

  constructor(volume: Volume) {
    this.#volume = volume
  }

  async take(step: Step): Promise<void> {
    await this.#volume[step]()
  }

  async before(step: Step): Promise<void> {
    for (const one of STEPS.slice(0, STEPS.indexOf(step))) await this.take(one)
  }

  async after(step: Step): Promise<void> {
    for (const one of STEPS.slice(STEPS.indexOf(step) + 1)) await this.take(one)
  }
}

describe('a system call of serve that fails', () => {
  for (const { steps, fresh = false, toLog = false, ...row } of ROWS) {
    it(`${row.call} in ${steps.join(', ')}, by ${row.errors.join(', ')}`, { timeout: 240_000 }, async (t) => {
      await using sandbox = new Sandbox()
      const log = join(sandbox.path, 'log')
      using plugin = await Plugin.start(sandbox, { log })
      for (const step of steps) {
        await t.test(step, async () => {
          const cases = await sweep(toLog ? { ...row, path: log } : row, async (fault) => {
            if (fresh) {
              await plugin.stop()
              await plugin.restart()
            }
            const volume = new Volume(sandbox, plugin, `${step}-${fault.error.toLowerCase()}-${fault.when}`)
            return await fail(sandbox, plugin, volume, step, fault)
          })
          t.diagnostic(`${step}: ${cases} cases`)
        })
      }
    })
  }
})

/** One case; tells how many calls were made to fail. */
async function fail(sandbox: Sandbox, plugin: Plugin, volume: Volume, step: Step, fault: Fault): Promise<number> {
  const life = new Life(volume)
  await life.before(step)
  const injection = await Injection.into(sandbox, plugin.pid, fault)
  const failed = await outcome(life.take(step))
  const injected = await injection.leave()
  const title = titleOf(fault, failed)
  assert.ok(plugin.running, `${title}; the plugin ended: ${plugin.log().split('\n').slice(-20).join('\n')}`)
  assertRight(fault, failed)
  plugin.reconnect()
  if (failed.code !== 'OK') {
    if (step === 'stage') assert.deepEqual([layersAt(volume.staging), plugin.entries()], [[], []], title)
    if (step === 'publish') assert.deepEqual(layersAt(volume.target), [], title)
  }
  await life.take(step)
  if (step === 'stage') assert.ok(await serves(sandbox, volume.staging), title)
  if (step === 'publish') assert.ok(await serves(sandbox, volume.target), title)
  await life.after(step)
  assert.deepEqual([sandbox.mounts(), plugin.entries()], [[], []], `${title}: something is left`)
  await eventually(`${title}: no daemon is left`, () => plugin.daemons().length === 0)
  return injected
}
