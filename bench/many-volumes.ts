import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../src/errors.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { MODES, READERS, TRIPS } from './latency.ts'
import { FusedDaemon } from './fused.ts'
import { figures, medians, timed } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { fileIn, latencies, type Latencies } from './peers/peers.ts'
import { ratio, type Row, value } from './row.ts'
import { Service } from './service.ts'

const MANY = 1000

/** Times of each, whatever --rounds says: one takes seconds. */
const REPEATS = 3

/** Round trips to a daemon of one mount beside those to one of 1,000, of which one reader uses a single one, another all in turn. */
async function trips(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  const [few, many] = [await FusedDaemon.start(sandbox, 'few'), await FusedDaemon.start(sandbox, 'many')]
  const [alone, paths] = [directories(sandbox, 'few', 1), directories(sandbox, 'many', MANY)]
  await few.mount(alone)
  await many.mount(paths)
  const all = paths.map(fileIn)
  const files = { one: alone.map(fileIn), among: all.slice(MANY / 2, MANY / 2 + 1), all }
  const rows: Row[] = []
  for (const mode of ['lookup', 'read'] as const) {
    for (const readers of READERS) {
      const runs: Record<keyof typeof files, Latencies[]> = { one: [], among: [], all: [] }
      for (let round = 0; round < rounds; round++) {
        for (const side of ['one', 'among', 'all'] as const) {
          runs[side].push(await latencies(sandbox, { mode, readers, rounds: TRIPS / readers, files: files[side] }))
        }
      }
      const work = `${MODES[mode]}, ${readers} ${readers === 1 ? 'reader' : 'readers'}, 1,000 mounts`
      const peer = medians('1 mount', runs.one)
      const judged = { unit: 'µs', limit: 1.2, peer } as const
      rows.push(
        ratio({ ...judged, work: `${work}, one of them: p50`, ours: medians('dummy-fused', runs.among) }),
        ratio({ ...judged, work: `${work}, in turn: p50`, ours: medians('dummy-fused', runs.all) }),
      )
    }
  }
  await many.unmount(paths)
  await few.unmount(alone)
  await Promise.all([few.stop(), many.stop()])
  return rows
}

/** What dummy-fused keeps in memory with 1,000 volumes, and what each volume more takes. */
async function memory(sandbox: Sandbox): Promise<readonly Row[]> {
  const at = { thousand: [] as number[], more: [] as number[] }
  for (let i = 0; i < REPEATS; i++) {
    const daemon = await FusedDaemon.start(sandbox, `memory-${i}`)
    const [first, second] = [directories(sandbox, `first-${i}`, MANY), directories(sandbox, `second-${i}`, MANY)]
    await daemon.mount(first)
    const with1000 = await settled(daemon)
    await daemon.mount(second)
    const with2000 = await settled(daemon)
    at.thousand.push(with1000 / 1024)
    at.more.push((with2000 - with1000) / MANY)
    await daemon.unmount([...first, ...second])
    await daemon.stop()
  }
  return [
    value({ work: 'memory with 1,000 volumes', unit: 'MB', limit: 100, ours: figures('dummy-fused', at.thousand) }),
    value({ work: 'memory of each volume more', unit: 'KB', limit: 20, ours: figures('dummy-fused', at.more) }),
  ]
}

/** The least over some seconds without requests, in KB: what is kept, and not what a collector has yet to give back. */
async function settled(daemon: FusedDaemon): Promise<number> {
  let least = Infinity
  for (let i = 0; i < 30; i++) {
    least = Math.min(least, daemon.memory())
    await sleep(100)
  }
  return least
}

/** 1,000 volumes staged and published, and asked for in the ways there are. What fails is one row's error, and no other's. */
async function bulk(sandbox: Sandbox): Promise<readonly Row[]> {
  const service = await Service.start(sandbox, 'bulk')
  const volumes = service.volumes(0, MANY)
  const steps: readonly Step[] = [
    {
      work: '1,000 volumes staged and published, 16 at once',
      limit: 5000,
      act: async () => {
        await service.stage(volumes)
        await service.publish(volumes)
      },
    },
    { work: 'list of 1,000 volumes: dummy-fused', limit: 200, act: () => service.list(MANY) },
    { work: 'list and state of 1,000 volumes: dummy-fuse-csi status', limit: 200, act: () => service.status(MANY) },
    { work: 'health of 1,000 volumes: NodeGetVolumeHealth, 16 at once', limit: 200, act: () => service.health(volumes) },
    {
      work: '1,000 volumes unpublished and unstaged, 16 at once',
      limit: 5000,
      act: async () => {
        await service.unpublish(volumes)
        await service.unstage(volumes)
      },
    },
  ]
  const times = new Map<Step, number[]>(steps.map((step) => [step, []]))
  const errors = new Map<Step, string>()
  for (let i = 0; i < REPEATS; i++) {
    for (const step of steps) {
      try {
        times.get(step)?.push(await timed(step.act))
      } catch (error) {
        errors.set(step, messageOf(error))
      }
    }
  }
  await service.stop()
  return steps.map((step) => {
    const [{ work, limit }, error] = [step, errors.get(step)]
    if (error !== undefined) return { work, error }
    return value({ work, unit: 'ms', limit, ours: figures('service', times.get(step) ?? []) })
  })
}

interface Step {
  readonly work: string
  /** Milliseconds. */
  readonly limit: number
  readonly act: () => Promise<void>
}

function directories(sandbox: Sandbox, name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => sandbox.directory(name, String(i)))
}

export const manyVolumes: readonly Measurement[] = [
  { name: 'many-trips', about: 'round trips with 1,000 mounts in the process', measure: trips },
  { name: 'many-memory', about: 'memory of dummy-fused', measure: memory },
  { name: 'many-bulk', about: '1,000 volumes at once', measure: bulk },
]
