import { join } from 'node:path'
import { DUMMY_FUSE } from '../test/support/paths.ts'
import { Plugin } from '../test/support/plugin.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { alternate, figures, QUICK, timed } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { ratio, type Row } from './row.ts'
import { Spawner } from './spawner.ts'

/** Milliseconds that a Stage may take beyond what it takes to mount by hand. */
const STAGE_ALLOWANCE = 3

/** Stage beside `dummy-fuse MOUNTPOINT` by hand, and Publish beside a spawned `mount --bind`; what is undone in between is not timed. */
async function measure(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  // Its log goes where a journal would take it: the client that is timed here is not to read it too.
  using plugin = await Plugin.start(sandbox, { log: join(sandbox.path, 'log') })
  using spawner = new Spawner()
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
    () => spawner.timed({ act: [[DUMMY_FUSE, byHand]], undo: [['umount', byHand]] }),
  )
  await plugin.stage('bench', staging)
  const publish = await alternate(
    rounds * QUICK,
    async () => {
      const took = await timed(() => plugin.publish('bench', staging, target))
      await plugin.unpublish('bench', target)
      return took
    },
    () => spawner.timed({ act: [['mount', '--bind', staging, bound]], undo: [['umount', bound]] }),
  )
  await plugin.unstage('bench', staging)
  await plugin.stop()
  return [
    ratio({
      work: 'NodeStageVolume',
      unit: 'ms',
      limit: 1,
      ours: figures('child', stage.ours),
      peer: figures('dummy-fuse (+ 3 ms)', stage.peer),
      allowance: STAGE_ALLOWANCE,
    }),
    ratio({
      work: 'NodePublishVolume',
      unit: 'ms',
      limit: 0.5,
      ours: figures('bind', publish.ours),
      peer: figures('mount --bind', publish.peer),
    }),
  ]
}

export const mount: Measurement = { name: 'mount', about: 'Stage and Publish with --fuse-host child', measure }
