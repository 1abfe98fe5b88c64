import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../src/errors.ts'
import { Node } from '../src/rpc/csi_pb.ts'
import { Sandbox } from '../test/support/sandbox.ts'
import { BY_HAND, volumeByHand, volumesByHand } from './by-hand.ts'
import { Host, type HostName } from './host.ts'
import { alternate, type Figures, figures, QUICK, timed } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { memoryOf } from './memory.ts'
import { ratio, type Row, value } from './row.ts'
import { type Life, Spawner } from './spawner.ts'

/** Volumes of a full node: the kubelet's standard for pods. */
const FULL = 110

/** Times of a full node's life, whatever --rounds says: one takes seconds. */
const REPEATS = 4

/** A volume's life, one at a time, with a process for each, beside the same by hand. */
async function oneAtATime(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  const host = await Host.start(sandbox, 'child')
  const [volume] = host.volumes(1)
  if (volume === undefined) throw new Error('no volume')
  using spawner = new Spawner()
  const byHand = await volumeByHand(sandbox)
  // A plugin keeps no spare before its first volume.
  await host.life(volume)
  const lives = await alternate(
    rounds * 5,
    async () => {
      await host.spare()
      return await host.life(volume)
    },
    () => spawner.life(byHand),
  )
  await host.stop()
  const part = (name: string, side: readonly Life[], of: (life: Life) => number): Figures => figures(name, side.map(of))
  const beside = (of: (life: Life) => number): { ours: Figures; peer: Figures } => ({
    ours: part('child', lives.ours, of),
    peer: part(BY_HAND, lives.peer, of),
  })
  const unit = 'ms'
  const whole = ({ act, undo }: Life): number => act + undo
  return [
    ratio({ work: 'Stage and Publish, child, a spare ready', unit, limit: 1.5, ...beside(({ act }) => act) }),
    ratio({ work: 'Unpublish and Unstage, child', unit, limit: 1.5, ...beside(({ undo }) => undo) }),
    value({ work: 'a volume’s whole life, child', unit, limit: 15, ours: part('child', lives.ours, whole) }),
    ratio({ work: 'the same, beside the same by hand', unit, limit: 1.5, ...beside(whole) }),
  ]
}

/** The whole life of a full node's volumes that begin at the same moment, beside the same by hand. */
async function fullNode(_sandbox: Sandbox): Promise<readonly Row[]> {
  const hosts: readonly (readonly [name: HostName, limit: number])[] = [
    ['child', 5],
    ['shared', 0.5],
    ['service', 0.5],
  ]
  const rows: Row[] = []
  for (const [name, limit] of hosts) {
    const work = `${FULL} volumes at once, whole life, ${name}`
    rows.push(
      await tried(work, async () => {
        await using sandbox = new Sandbox()
        return await fullNodeOf(sandbox, name, work, limit)
      }),
    )
  }
  return rows
}

async function fullNodeOf(sandbox: Sandbox, name: HostName, work: string, limit: number): Promise<Row> {
  const host = await Host.start(sandbox, name)
  const volumes = host.volumes(FULL)
  using spawner = new Spawner()
  const byHand = await volumesByHand(sandbox, FULL)
  const times = { ours: [] as number[], peer: [] as number[] }
  for (let i = 0; i < REPEATS; i++) {
    times.ours.push(await timed(() => Promise.all(volumes.map((volume) => host.life(volume)))))
    times.peer.push(await spawner.atOnce(byHand))
  }
  await host.stop()
  return ratio({ work, unit: 'ms', limit, ours: figures(name, times.ours), peer: figures(BY_HAND, times.peer) })
}

/** What daemons keep in memory: one of a single volume, and the plugin with one for a full node. */
async function memory(sandbox: Sandbox): Promise<readonly Row[]> {
  return [await tried(ONE, () => memoryOfOne(sandbox)), await tried(SHARED, () => memoryOfShared(sandbox))]
}

const ONE = 'private memory of a dummy-fuse of one volume (Private_Dirty)'
const SHARED = `plugin and shared daemon with ${FULL} volumes (PSS)`

/** A row whose failure is its own, and no other's. */
async function tried(work: string, measure: () => Promise<Row>): Promise<Row> {
  try {
    return await measure()
  } catch (error) {
    return { work, error: messageOf(error) }
  }
}

async function memoryOfOne(sandbox: Sandbox): Promise<Row> {
  const host = await Host.start(sandbox, 'child')
  const [volume] = host.volumes(1)
  if (volume === undefined) throw new Error('no volume')
  await host.begin(volume)
  const daemon = host.plugin.daemonOf(volume.staging)
  const least = await leastOf(() => memoryOf('Private_Dirty', [daemon]))
  await host.end(volume)
  await host.stop()
  return value({ work: ONE, unit: 'MB', limit: 14, ours: figures('dummy-fuse', [least]) })
}

async function memoryOfShared(sandbox: Sandbox): Promise<Row> {
  const host = await Host.start(sandbox, 'shared')
  const volumes = host.volumes(FULL)
  await Promise.all(volumes.map((volume) => host.begin(volume)))
  const daemons = host.processes('dummy-fused')
  if (daemons.length === 0) throw new Error('the plugin has started no dummy-fused')
  const least = await leastOf(() => memoryOf('Pss', [host.plugin.pid, ...daemons]))
  await Promise.all(volumes.map((volume) => host.end(volume)))
  await host.stop()
  return value({ work: SHARED, unit: 'MB', limit: 110, ours: figures('shared', [least]) })
}

/** The least over some seconds without requests: what is kept, and not what a collector has yet to give back. */
async function leastOf(measure: () => number): Promise<number> {
  let least = Infinity
  for (let i = 0; i < 30; i++) {
    least = Math.min(least, measure())
    await sleep(100)
  }
  return least
}

/** NodeGetVolumeHealth of one volume beside a call that asks for nothing. */
async function health(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const name of ['child', 'service'] as const) {
    const host = await Host.start(sandbox, name)
    const [volume] = host.volumes(1)
    if (volume === undefined) throw new Error('no volume')
    await host.begin(volume)
    const times = await alternate(
      rounds * QUICK,
      () => timed(() => host.plugin.reasons(volume.id)),
      () => timed(() => host.plugin.call(Node.method.nodeGetInfo)),
    )
    await host.end(volume)
    await host.stop()
    const [ours, peer] = [figures('health', times.ours), figures('NodeGetInfo', times.peer)]
    rows.push(ratio({ work: `NodeGetVolumeHealth, ${name}`, unit: 'ms', limit: 1.5, ours, peer }))
  }
  return rows
}

export const life: readonly Measurement[] = [
  { name: 'life-one', about: 'a volume’s life, one at a time, child', measure: oneAtATime },
  { name: 'life-many', about: `${FULL} volumes at once`, measure: fullNode },
  { name: 'life-memory', about: 'memory of daemons', measure: memory },
  { name: 'health', about: 'NodeGetVolumeHealth of one volume', measure: health },
]
