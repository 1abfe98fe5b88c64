import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Node } from '../src/rpc/csi_pb.ts'
import { MachineReader, readerEvents } from '../test/support/c-reader.ts'
import { CsiClient } from '../test/support/csi-client.ts'
import { InstalledPlugin } from '../test/support/installed-plugin.ts'
import type { Machine } from '../test/support/nspawn.ts'
import { ROOT } from '../test/support/paths.ts'
import { mountCapability } from '../test/support/plugin.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { eventually } from '../test/support/wait.ts'
import { AT_ONCE } from './fused.ts'
import { atOnce, figures } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { fileIn } from './peers/peers.ts'
import { difference, type Row, single, value } from './row.ts'
import { Stamps } from './stamps.ts'

const DAEMON = 'dummy-fused.service'
/** On the machine's own files, so that it can be reached from outside. */
const ENDPOINT = '/var/tmp/csi.sock'

/** Milliseconds: what takes a reader less than that is not written down. */
const LEAST_STALL = 1

/** Milliseconds after a blow in which systemd is not asked anything, for that would be part of the stall. What begins later has other causes. */
const HANDS_OFF = 1000

/** Milliseconds: by then a daemon has tidied up behind its start, and is what it will be for weeks. */
const SETTLED = 2000

/** What befalls the daemon; resolves to when, in milliseconds of CLOCK_MONOTONIC. */
type Blow = (machine: Machine, stamps: Stamps) => Promise<number>

const BLOWS: Readonly<Record<string, Blow>> = {
  'kill -9': async (_machine, stamps) => await stamps.kill(DAEMON),
  restart: async (machine) => {
    const at = Number(process.hrtime.bigint()) / 1e6
    await machine.systemctl('restart', DAEMON)
    return at
  },
}

/** A reader that holds its file open while its daemon is killed, or restarted as for an upgrade, beside what systemd itself takes. */
async function measure(rounds: number, count: number, limit: number): Promise<readonly Row[]> {
  if (!existsSync(join(ROOT, 'systemd', DAEMON))) throw new Error(`not there yet: ${DAEMON}`)
  await using installed = await InstalledPlugin.start(`--fuse-host service --endpoint unix://${ENDPOINT}`)
  const { machine } = installed
  await machine.systemctl('enable', '--now', '--quiet', 'dummy-fused.socket')
  const paths = await stage(machine, count)
  const stamps = await Stamps.start(machine)
  // The daemon takes its volumes over in some order: the first, the last, and one in between.
  const chosen = [...new Set([0, Math.floor(count / 2), count - 1])]
  const readers = await Promise.all(chosen.map((i) => Held.start(machine, i, fileIn(paths[i] ?? ''))))
  const rows: Row[] = []
  const plural = count === 1 ? '1 volume' : `${count.toLocaleString('en')} volumes`
  for (const [what, blow] of Object.entries(BLOWS)) {
    const times = { ours: [] as number[], systemd: [] as number[] }
    let daemon = await settled(machine)
    for (let round = 0; round < rounds; round++) {
      times.systemd.push(await stamps.restart())
      const at = await blow(machine, stamps)
      await sleep(HANDS_OFF)
      daemon = await settled(machine, daemon)
      times.ours.push(Math.max(...(await Promise.all(readers.map((reader) => reader.longestStall(at))))))
    }
    const work = `longest stall at ${what}, ${plural}`
    rows.push(
      difference({ work, unit: 'ms', limit, ours: figures('reader', times.ours), peer: figures('systemd alone', times.systemd) }),
    )
  }
  const errors = await Promise.all(readers.map((reader) => reader.errors()))
  const sum = errors.reduce((all, one) => all + one, 0)
  rows.push(value({ work: `reads that failed or were wrong, ${plural}`, unit: 'errors', limit: 0, ours: single('readers', sum) }))
  return rows
}

/** Waits until a process of the daemon, another than `before`, has been ready for a while, and returns its pid. */
async function settled(machine: Machine, before?: string): Promise<string> {
  return await eventually(
    'the daemon has settled',
    async () => {
      const [state, since, pid] = [
        await machine.property(DAEMON, 'ActiveState'),
        await machine.property(DAEMON, 'ActiveEnterTimestampMonotonic'),
        await machine.property(DAEMON, 'MainPID'),
      ]
      const ready = state === 'active' && Number(process.hrtime.bigint()) / 1e6 - Number(since) / 1e3 > SETTLED
      return ready && pid !== '0' && pid !== before ? pid : undefined
    },
    30_000,
  )
}

/** Stages volumes and returns where. */
async function stage(machine: Machine, count: number): Promise<readonly string[]> {
  using client = new CsiClient(join(machine.root, ENDPOINT))
  const paths = Array.from({ length: count }, (_, i) => InstalledPlugin.stagingPath(`volume-${i}`))
  for (const path of paths) mkdirSync(join(machine.root, path), { recursive: true })
  await atOnce(AT_ONCE, [...paths.entries()], async ([i, stagingTargetPath]) => {
    const request = { volumeId: `volume-${i}`, stagingTargetPath, volumeCapability: mountCapability() }
    await client.call(Node.method.nodeStageVolume, request)
  })
  return paths
}

/** A reader with an open descriptor, and all the stalls it has seen. */
class Held {
  readonly #reader: MachineReader
  readonly #events: string

  private constructor(reader: MachineReader, events: string) {
    this.#reader = reader
    this.#events = events
  }

  static async start(machine: Machine, i: number, file: string): Promise<Held> {
    const events = `/var/tmp/events-${i}`
    const reader = await MachineReader.start(machine, `reader-${i}`, { mode: 'held', file, events, stallLogMs: LEAST_STALL })
    await reader.reading()
    return new Held(reader, join(machine.root, events))
  }

  /** The longest stall since a moment, once it reads again; milliseconds, 0 if none was long enough to be told of. */
  async longestStall(sinceMs: number): Promise<number> {
    const { rounds } = await this.#reader.progress()
    await eventually('the reader reads', async () => (await this.#reader.progress()).rounds > rounds, 90_000)
    const stalls = readerEvents(this.#events).flatMap((event) => (event.event === 'stall' ? [event] : []))
    const after = stalls.filter(({ ns, atNs }) => (atNs + ns) / 1e6 > sinceMs && atNs / 1e6 < sinceMs + HANDS_OFF)
    return Math.max(0, ...after.map(({ ns }) => ns / 1e6))
  }

  async errors(): Promise<number> {
    const { wrong, failed } = await this.#reader.summary()
    return Object.values(failed).reduce((sum, count) => sum + count, wrong)
  }
}

export const stalls: readonly Measurement[] = [
  {
    name: 'stall-one',
    about: 'a reader while its daemon is killed and restarted, 1 volume',
    measure: async (_sandbox: Sandbox, rounds: number) => await measure(rounds, 1, 60),
  },
  {
    name: 'stall-many',
    about: 'a reader while its daemon is killed and restarted, 1,000 volumes',
    measure: async (_sandbox: Sandbox, rounds: number) => await measure(rounds, 1000, 250),
  },
]
