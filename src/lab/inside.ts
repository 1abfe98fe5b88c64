import { readlinkSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import type { Libc } from '../os/libc.ts'
import { readMountinfo, topmostAt } from '../os/mounts/mountinfo.ts'
import { raiseLoopback } from '../os/sockets/loopback.ts'
import type { Programs } from './command.ts'
import { carryOutCell } from './cell/carry-out.ts'
import type { DriverSpec } from './driver/spec.ts'
import { carryOutDriverTrial, type DriverJob } from './driver/trial.ts'
import type { CellJob } from './matrix/job.ts'
import { carryOutTrial, type MountJob } from './mount-command/trial.ts'
import { KUBELET, MARK } from './node-paths.ts'
import type { Message } from './message.ts'
import { scenarioNode } from './scenario.ts'
import { SCENARIOS } from './scenarios/all.ts'

/** A scenario to carry out on a private node. */
interface ScenarioJob {
  readonly kind: 'scenario'
  readonly scenario: string
  readonly programs: Programs
}

/** What the lab hands to a process on a private node, as the first line of its standard input. */
export type Job = ScenarioJob | CellJob | MountJob | DriverJob

/** Whether this process is on a node of the lab's own, where it may do as it likes. */
export function isPrivateNode(): boolean {
  return topmostAt(readMountinfo(), KUBELET)?.source === MARK
}

/** Carries a scenario or a cell out on the private node, and tells all that is seen, at last how it ended. */
export async function carryOut(job: Job, libc: Libc, tell: (message: Message) => void): Promise<void> {
  try {
    tell({ kind: 'namespace', mnt: readlinkSync('/proc/self/ns/mnt') })
    const driver = driverOf(job)
    if (driver?.network === 'loopback') raiseLoopback(libc)
    if (job.kind === 'cell') tell({ kind: 'cell', cell: await carryOutCell(job, libc) })
    else if (job.kind === 'mount') tell({ kind: 'mount', seen: await carryOutTrial(libc, job.trial) })
    else if (job.kind === 'driver') tell({ kind: 'driver', seen: await carryOutDriverTrial(job, libc) })
    else await carryOutScenario(job, tell)
    tell({ kind: 'end' })
  } catch (error) {
    tell({ kind: 'broken off', reason: messageOf(error) })
  }
}

/** Somebody's driver that a job is about; its node is one of {@link onDriverNode}. */
function driverOf(job: Job): DriverSpec | undefined {
  return job.kind === 'cell' || job.kind === 'driver' ? job.driver : undefined
}

async function carryOutScenario(job: ScenarioJob, tell: (message: Message) => void): Promise<void> {
  const scenario = SCENARIOS.find(({ name }) => name === job.scenario)
  if (scenario === undefined) throw new Error(`no scenario '${job.scenario}'`)
  await scenario.run(scenarioNode(job.programs, tell))
}
