import type { FuseHolder } from '../cell/who-answers.ts'
import type { Written } from '../matrix/lab-record.ts'

/** What a driver did in its trial. */
export interface DriverSeen {
  /** In the order in which they were taken; the first that failed is the last of them, but for the ways back. */
  readonly steps: readonly TrialStep[]
  /** What it says of itself; undefined as far as it could not be asked. */
  readonly plugin: PluginSeen | undefined
  /**
   * What it had mounted when the volume was published: `staging` and `target`, other paths below the kubelet's folder, and FUSE mounts
   * elsewhere.
   */
  readonly mounts: readonly MountedAt[]
  /** The processes that held /dev/fuse open then; none where the kernel does not tell. */
  readonly holders: readonly Holder[]
  /** Undefined if the volume was not published. */
  readonly health: HealthSeen | undefined
  /** What a pod saw of the file; undefined if it came to no pod. */
  readonly read: ReadSeen | undefined
  /** Why a file could not be written, of a driver with storage that the lab runs, whose file reads right; missing if it could be. */
  readonly refusesWrites?: string
  /** What was left after the last step: mounts, and processes that hold /dev/fuse. */
  readonly left: readonly string[]
  /** What was written outside of its state, and how much more there is than is listed. */
  readonly written: readonly Written[]
  readonly writtenMore: number
  readonly log: readonly string[]
}

/** One step of a trial. */
export interface TrialStep {
  readonly name: string
  /** Milliseconds of the attempt that succeeded, or of all if none did. */
  readonly tookMs: number
  readonly attempts: number
  /** Attempts that were not answered within `callTimeout`. */
  readonly late: number
  /** Undefined if it succeeded. */
  readonly failure: StepFailure | undefined
}

/** Why a step failed. `about`: what has to be changed, as far as the lab can tell. */
export interface StepFailure {
  readonly about: About
  readonly what: string
  /** What the driver said in its answer, which is part of `what`; undefined if it was not an answer of the driver. */
  readonly answer: string | undefined
}

export type About = 'driver' | 'file' | 'machine'

/** What a plugin says of itself. */
export interface PluginSeen {
  readonly name: string
  readonly version: string
  /** By the names of the CSI specification. */
  readonly node: readonly string[]
  /** Undefined if it has no controller service. */
  readonly controller: readonly string[] | undefined
}

export interface MountedAt {
  /** `staging`, `target`, or a path. */
  readonly at: string
  readonly fsType: string
  readonly source: string
  readonly fuse: boolean
  /** Of a FUSE mount that was made on the private node, and is no copy of one of the machine. */
  readonly connection: number | undefined
}

/** Whether a driver implements NodeGetVolumeHealth (CSI 1.13): `unimplemented` despite its capability if it answers so. */
export type HealthSeen = 'implemented' | 'no capability' | 'unimplemented'

/** A process that holds a FUSE connection. */
export interface Holder extends FuseHolder {
  /** Whether it is the process that `start` of the file has started. */
  readonly plugin: boolean
  /** Whether the volume answers no more while this process is stopped; undefined if that was not tried. */
  readonly answers: boolean | undefined
}

/** What a pod saw of the file of consumers. */
export interface ReadSeen {
  /** `right`, `wrong`, or what reading it said. */
  readonly saw: string
  /** Milliseconds from the answer of NodePublishVolume. */
  readonly afterMs: number
  /** What is at the target, at most ten names. */
  readonly names: readonly string[]
  /** What the file holds, if `saw` is `wrong`. */
  readonly held: string | undefined
}

/** The steps without which there is no cell. */
const NEEDED = [
  'prepare',
  'podCgroups',
  'helpers',
  'start',
  'GetPluginInfo',
  'NodeGetCapabilities',
  'CreateVolume',
  'NodeStageVolume',
  'NodePublishVolume',
  'populate',
]

/** The step at which a driver cannot be taken through any cell; undefined if it can. */
export function hopeless({ steps }: DriverSeen): TrialStep | undefined {
  return steps.find(({ name, failure }) => failure !== undefined && NEEDED.includes(name))
}

/** The processes that hold a connection of the volume: those that answer there, and those that only hold a descriptor. */
export interface Held {
  readonly answering: readonly Holder[]
  readonly holding: readonly Holder[]
}

/** Who answers for the volume. The only process of a connection does; of several it is not known if that was not tried, and both lists are empty then. */
export function heldBy({ mounts, holders }: Pick<DriverSeen, 'mounts' | 'holders'>): Held {
  const target = mounts.find(({ at }) => at === 'target')?.connection
  const connections = target === undefined ? mounts.map(({ connection }) => connection) : [target]
  const byConnection = [...Map.groupBy(holders, ({ connection }) => connection)]
  const known = byConnection
    .filter(([connection]) => connections.includes(connection))
    .map(([, all]) => {
      const answering = all.length === 1 ? all : all.filter(({ answers }) => answers === true)
      return { answering, holding: answering.length === 0 ? [] : all.filter((one) => !answering.includes(one)) }
    })
  return { answering: known.flatMap(({ answering }) => answering), holding: known.flatMap(({ holding }) => holding) }
}
