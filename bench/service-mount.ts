import { join } from 'node:path'
import { messageOf } from '../src/errors.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { eventually } from '../test/support/wait.ts'
import { BY_HAND, volumeByHand } from './by-hand.ts'
import { Host } from './host.ts'
import { alternate, figures, QUICK, timed } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { manyMounts } from './peers/peers.ts'
import { ratio, type Row } from './row.ts'
import { Service } from './service.ts'
import { Spawner } from './spawner.ts'

const OTHERS = 10_000

/** Stage and Publish beside what a shell does: a libfuse3 hello in the background and a bind; and beside itself among 10,000 other mounts. */
async function measure(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  const service = await Service.start(sandbox, 'service')
  const crowded = await Service.start(sandbox, 'crowded', await amongMounts(sandbox))
  const byHand = await volumeByHand(sandbox)
  using spawner = new Spawner()
  const peer = (): Promise<number> => spawner.timed(byHand)
  const beside = await alternate(rounds * QUICK, () => stageAndPublish(service), peer)
  const among = await alternate(
    rounds * QUICK,
    () => stageAndPublish(crowded),
    () => stageAndPublish(service),
  )
  await Promise.all([service.stop(), crowded.stop()])
  return [
    ratio({
      work: 'Stage and Publish, --fuse-host service',
      unit: 'ms',
      limit: 0.8,
      ours: figures('service', beside.ours),
      peer: figures(BY_HAND, beside.peer),
    }),
    await shared(sandbox, rounds, peer),
    ratio({
      work: 'the same among 10,000 other mounts',
      unit: 'ms',
      limit: 1.3,
      ours: figures('among 10,000', among.ours),
      peer: figures('among few', among.peer),
    }),
  ]
}

/** The same with one daemon of the plugin's own for all of its volumes. */
async function shared(sandbox: Sandbox, rounds: number, peer: () => Promise<number>): Promise<Row> {
  const work = 'Stage and Publish, --daemons shared'
  try {
    const host = await Host.start(sandbox, 'shared')
    const [volume] = host.volumes(1)
    if (volume === undefined) throw new Error('no volume')
    const beside = await alternate(rounds * QUICK, async () => (await host.life(volume)).act, peer)
    await host.stop()
    return ratio({ work, unit: 'ms', limit: 0.8, ours: figures('shared', beside.ours), peer: figures(BY_HAND, beside.peer) })
  } catch (error) {
    return { work, error: messageOf(error) }
  }
}

/** One volume's life; only its first half is timed. */
async function stageAndPublish(service: Service): Promise<number> {
  const volumes = service.volumes(0, 1)
  const took = await timed(async () => {
    await service.stage(volumes)
    await service.publish(volumes)
  })
  await service.unpublish(volumes)
  await service.unstage(volumes)
  return took
}

/** The words that execute a program in a mount namespace where there are 10,000 other mounts. */
async function amongMounts(sandbox: Sandbox): Promise<readonly string[]> {
  const holder = sandbox.start(await manyMounts(), [String(OTHERS), sandbox.directory('others')])
  await eventually(
    `there are ${OTHERS} mounts: ${holder.output()}`,
    () => {
      if (holder.child.exitCode !== null) throw new Error(`many-mounts ended: ${holder.output()}`)
      return holder.output().includes('ready')
    },
    60_000,
  )
  return ['nsenter', `--mount=${join('/proc', String(holder.pid), 'ns/mnt')}`, '--']
}

export const serviceMount: Measurement = { name: 'service', about: 'Stage and Publish with --fuse-host service', measure }
