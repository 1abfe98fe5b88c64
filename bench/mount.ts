import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DUMMY_FUSE } from '../test/support/paths.ts'
import { Plugin } from '../test/support/plugin.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { alternate, type Comparison, compare, figures } from './measure.ts'

/** Milliseconds that a Stage may take beyond what it takes to mount by hand. */
const STAGE_ALLOWANCE = 3

/** Stage beside `dummy-fuse MOUNTPOINT` by hand, and Publish beside a spawned `mount --bind`; what is undone in between is not timed. */
export async function mount(sandbox: Sandbox, rounds: number): Promise<readonly Comparison[]> {
  // Its log goes where a journal would take it: the client that is timed here is not to read it too.
  using plugin = await Plugin.start(sandbox, { log: join(sandbox.path, 'log') })
  const staging = sandbox.directory('staging')
  const target = sandbox.directory('target')
  const byHand = sandbox.directory('by-hand')
  const bound = sandbox.directory('bound')

  const stage = await alternate(
    rounds,
    async () => {
      const took = await timed(() => plugin.stage('bench', staging))
      await plugin.unstage('bench', staging)
      return took
    },
    async () => {
      const took = await timed(() => spawned(DUMMY_FUSE, [byHand]))
      await spawned('umount', [byHand])
      return took
    },
  )
  await plugin.stage('bench', staging)
  const publish = await alternate(
    rounds * 20,
    async () => {
      const took = await timed(() => plugin.publish('bench', staging, target))
      await plugin.unpublish('bench', target)
      return took
    },
    async () => {
      const took = await timed(() => spawned('mount', ['--bind', staging, bound]))
      await spawned('umount', [bound])
      return took
    },
  )
  await plugin.unstage('bench', staging)
  await plugin.stop()
  return [
    compare('NodeStageVolume', 1, figures('child', stage.ours), figures('dummy-fuse (+ 3 ms)', stage.peer), STAGE_ALLOWANCE),
    compare('NodePublishVolume', 0.5, figures('bind', publish.ours), figures('mount --bind', publish.peer)),
  ]
}

async function timed(act: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await act()
  return performance.now() - began
}

async function spawned(file: string, args: readonly string[]): Promise<void> {
  const [status] = (await once(spawn(file, args, { stdio: 'ignore' }), 'exit')) as [number | null]
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status ?? 'a signal'}`)
}
