import { messageOf } from '../../errors.ts'
import type { Libc } from '../../os/libc.ts'
import { clockFrom, monotonicMs } from '../clock.ts'
import { withArgs } from '../command.ts'
import { DRIVER_MITIGATIONS } from '../driver/matrix.ts'
import { makeDriverFolders, writtenOnNode } from '../driver/node.ts'
import type { DriverSpec } from '../driver/spec.ts'
import { DRIVER_FAILURES, FAILURES } from '../failures/all.ts'
import { firstUse } from '../failures/first-use.ts'
import { Kubelet, VOLUME } from '../kubelet.ts'
import { CONSUMERS, DRIVER_CONSUMERS } from '../matrix/consumers.ts'
import type { CellJob } from '../matrix/job.ts'
import type { Cell } from '../matrix/lab-record.ts'
import { MITIGATIONS } from '../mitigations.ts'
import { DUMMY_FUSE, FUSED, SHIELD, SOCKET } from '../node-paths.ts'
import { MountSnapshot } from '../mount-snapshot.ts'
import type { WrittenFiles } from '../own-root.ts'
import { Provisioner } from '../provisioner.ts'
import type { ContainerPlugin } from './container-plugin.ts'
import { DriverVolume } from './driver-volume.ts'
import { NodeDisk } from './node-disk.ts'
import { LogFiles } from './log-files.ts'
import { momentsOf, observeCell, observeFirstUse } from './observe.ts'
import type { PrivateHarness } from './private-harness.ts'
import { recordsStored, withWrites } from './read-back.ts'
import { ProcessWatch } from './process-watch.ts'
import { labConsumer } from './reader-programs.ts'
import { STEP_DEADLINE } from '../wait.ts'
import { setUpCell, setUpDriverCell } from './set-up.ts'
import { CellTeardown } from './teardown.ts'
import { Timeline } from './timeline.ts'

/** By comm, the titles of the lanes of our daemons. */
const OURS = { [DUMMY_FUSE]: 'FUSE daemon', [FUSED]: 'FUSE service' }

/** The same of a shield. */
const OF_SHIELD = { [SHIELD.shield]: 'Shield', [SHIELD.keeper]: 'Keeper of the shield' }

/** Carries out one cell on the private node that this process is on. Throws an Error if the cell says nothing. */
export async function carryOutCell(job: CellJob, libc: Libc): Promise<Cell> {
  const startedAt = new Date().toISOString()
  const startMs = monotonicMs()
  const clock = clockFrom(startMs)
  const timeline = new Timeline(clock)
  const failure = named(job.driver === undefined ? FAILURES : [firstUse, ...DRIVER_FAILURES], job.failure)
  const mitigation = named(job.driver === undefined ? MITIGATIONS : DRIVER_MITIGATIONS, job.mitigation)
  const kinds = (job.driver === undefined ? CONSUMERS : DRIVER_CONSUMERS).filter(({ id }) => Object.hasOwn(job.consumers, id))
  const { consumer: program } = job.programs
  const consumer = job.driver === undefined ? program : withArgs(program, ['--expect', job.driver.content])
  const subject = {
    ...{ failure, mitigation, consumers: kinds },
    volume: job.driver?.volume ?? { ...VOLUME, mountFlags: failure.mountFlags ?? [] },
  }
  const brought = job.driver === undefined ? undefined : { driver: job.driver, written: writtenOnNode(job.driver, libc) }
  const parts = {
    disk: new NodeDisk(brought?.written),
    ...{ programs: job.programs, slice: job.slice, clock, timeline },
    kubelet: new Kubelet(job.driver?.socket ?? SOCKET, job.driver?.callTimeout),
    reader: labConsumer(consumer, startMs),
  }
  const daemons =
    job.driver === undefined ? OURS : { ...(job.driver.daemon === undefined ? {} : { [job.driver.daemon]: 'FUSE daemon' }) }
  const comms = { ...daemons, ...(mitigation.hosting === 'shield' ? OF_SHIELD : {}) }
  await parts.disk.open()
  using _watch = new ProcessWatch(timeline, comms)
  const observed = { failure, mitigation, expectations: job.consumers, startedAt }
  try {
    if (brought === undefined) return await observeCell(setUpCell(subject, parts), observed)
    const { driver, written } = brought
    return await withDriver(
      driver,
      setUpDriverCell(subject, { ...parts, driver }),
      { timeline, written, disk: parts.disk },
      (around) => (failure === firstUse ? observeFirstUse(around, observed, firstWatch(driver)) : observeCell(around, observed)),
    )
  } catch (error) {
    throw new Error(`${messageOf(error)}${timeline.lastWords()}`, { cause: error })
  }
}

/** Milliseconds for which a consumer is watched that does badly without a failure: as long as the file says, or as a slow mount may take. */
function firstWatch({ watch, watchIsGiven, callTimeout }: DriverSpec): number {
  return watchIsGiven ? watch : Math.max(watch, STEP_DEADLINE + callTimeout)
}

/** Carries a cell out with the volume of a driver's file, which is removed at last if it was created. */
async function withDriver(
  driver: DriverSpec,
  harness: PrivateHarness<ContainerPlugin>,
  { timeline, written, disk }: { readonly timeline: Timeline; readonly written: WrittenFiles; readonly disk: NodeDisk },
  act: (harness: PrivateHarness) => Promise<Cell>,
): Promise<Cell> {
  const { clock, kubelet, operations, plugin, consumers, pods, mounts, newPod, shell } = harness
  makeDriverFolders(driver)
  await using logFiles = new LogFiles(timeline, driver.logs)
  await logFiles.begin()
  if (driver.prepare !== undefined) await shell(driver.prepare)
  written.begin()
  mounts.take()
  const provisioner = new Provisioner(driver.socket, driver.callTimeout)
  const volume = new DriverVolume({ driver, operations, provisioner, timeline, shell })
  const before = new MountSnapshot()
  const parts = { clock, timeline, kubelet, operations, plugin, consumers, pods, newPod, before, disk, times: driver }
  const teardown = new CellTeardown(parts)
  const register = async (): Promise<void> => {
    await kubelet.register()
    before.take()
    await volume.make()
  }
  try {
    const cell = await act({ ...harness, register })
    const observed = timeline.eventsOf('kubelet').length
    const end = await teardown.run()
    await volume.remove()
    const tookMs = clock()
    // What it says of that may come after its answers. A plugin that waits in the kernel ends with the node.
    await plugin.kill().catch(() => undefined)
    await plugin.heard()
    await logFiles.end()
    const files = consumers.flatMap(({ reads }) => reads.writes.files)
    const stored = driver.stored === undefined ? undefined : await recordsStored(driver.stored, files)
    const back = { found: end.found, newPod: end.teardown.newPod, stored }
    const results = cell.consumers.map((one) => {
      const writes = consumers.find(({ kind }) => kind.id === one.consumer)?.reads.writes
      return writes === undefined ? one : withWrites(one, writes, cell.failureAtMs, back)
    })
    const later = [...timeline.eventsOf('kubelet').slice(observed), ...timeline.eventsOf('new-pod'), ...end.events]
    return {
      ...{ ...cell, tookMs, consumers: results, teardown: end.teardown, lanes: timeline.lanes() },
      events: [...cell.events, ...later].sort((a, b) => a.atMs - b.atMs),
      evidence: { ...cell.evidence, logs: timeline.logs(momentsOf(cell)), ...written.since(driver.socket) },
    }
  } catch (error) {
    if (volume.exists) await teardown.leave().catch(() => undefined)
    await volume.remove()
    throw error
  }
}

function named<T extends { readonly id: string }>(all: readonly T[], id: string): T {
  const found = all.find((one) => one.id === id)
  if (found === undefined) throw new Error(`no '${id}'; there are ${all.map((one) => one.id).join(', ')}`)
  return found
}
