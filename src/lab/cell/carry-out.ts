import { messageOf } from '../../errors.ts'
import { clockFrom, monotonicMs } from '../clock.ts'
import { withArgs } from '../command.ts'
import { PLACES } from '../driver/container.ts'
import { DRIVER_MITIGATIONS } from '../driver/matrix.ts'
import { filled } from '../driver/spec.ts'
import { FAILURES } from '../failures/all.ts'
import { Kubelet, VOLUME } from '../kubelet.ts'
import { CONSUMERS } from '../matrix/consumers.ts'
import type { CellJob } from '../matrix/job.ts'
import type { Cell } from '../matrix/lab-record.ts'
import { MITIGATIONS } from '../mitigations.ts'
import { FUSED, SOCKET } from '../node-paths.ts'
import { observeCell } from './observe.ts'
import { ProcessWatch } from './process-watch.ts'
import { labConsumer } from './reader-programs.ts'
import { setUpCell } from './set-up.ts'
import { Timeline } from './timeline.ts'

/** By comm, the titles of the lanes of our daemons. */
const OURS = { 'dummy-fuse': 'FUSE daemon', [FUSED]: 'FUSE service' }

/** Milliseconds for one of the kubelet's calls. The kubelet calls a plugin that does not answer again. */
const CALL_DEADLINE = 3000

/** Carries out one cell on the private node that this process is on. Throws an Error if the cell says nothing. */
export async function carryOutCell(job: CellJob): Promise<Cell> {
  const startedAt = new Date().toISOString()
  const startMs = monotonicMs()
  const clock = clockFrom(startMs)
  const timeline = new Timeline(clock)
  const failure = named(FAILURES, job.failure)
  const mitigation = named(job.driver === undefined ? MITIGATIONS : DRIVER_MITIGATIONS, job.mitigation)
  const kinds = CONSUMERS.filter(({ id }) => Object.hasOwn(job.consumers, id))
  const { consumer: program } = job.programs
  const consumer = job.driver === undefined ? program : withArgs(program, ['--expect', job.driver.content])
  const harness = setUpCell(
    { failure, mitigation, consumers: kinds, volume: job.driver?.volume ?? { ...VOLUME, mountFlags: failure.mountFlags ?? [] } },
    {
      ...{ programs: job.programs, driver: job.driver, slice: job.slice, clock, timeline },
      kubelet: new Kubelet(SOCKET, CALL_DEADLINE),
      reader: labConsumer(consumer, startMs),
    },
  )
  const comms =
    job.driver === undefined ? OURS : { ...(job.driver.daemon === undefined ? {} : { [job.driver.daemon]: 'FUSE daemon' }) }
  using _watch = new ProcessWatch(timeline, comms)
  if (job.driver?.prepare !== undefined) await harness.shell(filled([`mkdir -p {state}; ${job.driver.prepare}`], PLACES).join(''))
  return await observeCell(harness, { failure, mitigation, expectations: job.consumers, startedAt }).catch((error: unknown) => {
    throw new Error(`${messageOf(error)}${timeline.lastWords()}`, { cause: error })
  })
}

function named<T extends { readonly id: string }>(all: readonly T[], id: string): T {
  const found = all.find((one) => one.id === id)
  if (found === undefined) throw new Error(`no '${id}'; there are ${all.map((one) => one.id).join(', ')}`)
  return found
}
