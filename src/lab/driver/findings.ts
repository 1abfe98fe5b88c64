import { LONGEST_COMM } from '../../os/processes/processes.ts'
import { shortened } from '../../printable.ts'
import { PLACEHOLDER_ID } from './first-file.ts'
import { type About, type DriverSeen, heldBy, type Holder, type MountedAt, type TrialStep } from './seen.ts'
import type { DriverSpec } from './spec.ts'

/** Something that is wrong, in words. `about`: what has to be changed, as far as the lab can tell. */
export interface Finding {
  readonly about: About
  readonly what: string
}

/** What a program says that it does not find on the machine. */
const MISSING_PROGRAM = /executable file not found|command not found|fusermount3?: (not found|No such file)|modprobe/i

/** What a program says that does not reach a server. */
const UNREACHED =
  /connection refused|network is unreachable|no route to host|name resolution|no such host|could not resolve|ECONNREFUSED|ENETUNREACH|ENOTFOUND|EAI_AGAIN/i

/** What is wrong with a driver, its file or the machine, as its trial shows. */
export function findingsOf(driver: DriverSpec, seen: DriverSeen): readonly Finding[] {
  return [
    ...seen.steps.flatMap(({ name, attempts, failure }) =>
      failure === undefined
        ? []
        : [{ about: failure.about, what: `${name}${attempts > 1 ? ` (${attempts} attempts)` : ''}: ${failure.what}` }],
    ),
    ...ofTime(driver, seen),
    ...ofVolume(driver),
    ...missingPrograms(seen),
    ...ofNetwork(driver, seen),
    ...ofCreation(driver, seen),
    ...ofMounts(driver, seen),
    ...ofDaemon(driver, seen),
    ...ofRead(driver, seen),
    ...seen.left.map((one) => ({ about: 'driver' as const, what: `this is left after the volume has gone: ${one}` })),
  ]
}

/** Calls that were answered only in a later attempt, because `callTimeout` is too short. A call that failed says so itself. */
export function ofTime(driver: Pick<DriverSpec, 'callTimeout'>, { steps }: Pick<DriverSeen, 'steps'>): readonly Finding[] {
  return steps
    .filter(({ late, failure }) => late > 0 && failure === undefined)
    .map((step) => ({ about: 'file', what: `${step.name}: ${lateWords(driver, step)}` }))
}

/** What is said of a call of which an attempt was not answered in time. */
export function lateWords(
  { callTimeout }: Pick<DriverSpec, 'callTimeout'>,
  { late, attempts }: Pick<TrialStep, 'late' | 'attempts'>,
): string {
  return `no answer within ${callTimeout / 1000} s (callTimeout) in ${late} of ${attempts} attempts; say a longer callTimeout, unless the driver hangs`
}

function missingPrograms({ log, steps }: DriverSeen): readonly Finding[] {
  const line = log.find((one) => MISSING_PROGRAM.test(one))
  if (line === undefined || steps.every(({ failure }) => failure === undefined)) return []
  return [{ about: 'machine', what: `the driver misses a program: ${line}` }]
}

function ofNetwork({ network }: DriverSpec, { log, steps }: DriverSeen): readonly Finding[] {
  const failures = steps.flatMap(({ failure }) => failure?.what ?? [])
  const line = [...failures, ...log].find((one) => UNREACHED.test(one))
  if (network === 'host' || failures.length === 0 || line === undefined) return []
  return [
    {
      about: 'file',
      what: `a server is not reached (${line}), and the driver has a network of its own; say network: host if the server runs elsewhere, or start it as one of helpers`,
    },
  ]
}

function ofVolume({ volume, create }: DriverSpec): readonly Finding[] {
  if (create !== undefined || volume.id !== PLACEHOLDER_ID) return []
  return [{ about: 'file', what: `volume.id is still ${PLACEHOLDER_ID}; put the id of a volume there that the driver serves` }]
}

function ofCreation({ create }: DriverSpec, { plugin, steps }: DriverSeen): readonly Finding[] {
  const failed = steps.find(({ failure }) => failure !== undefined)
  const creates = plugin?.controller?.includes('CREATE_DELETE_VOLUME') === true
  if (create !== undefined || !creates || failed === undefined) return []
  return [
    { about: 'file', what: 'the driver creates volumes (CREATE_DELETE_VOLUME); its volume may have to be created: say create' },
  ]
}

function ofMounts({ fuse }: DriverSpec, { mounts, read }: DriverSeen): readonly Finding[] {
  if (read === undefined) return []
  const target = mounts.find(({ at }) => at === 'target')
  if (target === undefined)
    return [
      {
        about: 'driver',
        what: 'NodePublishVolume has answered OK, and nothing is mounted at the target: what pods write is on the disk of the node',
      },
    ]
  if (fuse && !target.fuse) return [{ about: 'file', what: `the volume is no FUSE mount (${inWords(target)}); say fuse: false` }]
  return !fuse && target.fuse ? [{ about: 'file', what: `the volume is a FUSE mount (${inWords(target)}); say fuse: true` }] : []
}

/** What the file says of the daemon, and who answers for the volume instead. */
export function ofDaemon({ daemon }: Pick<DriverSpec, 'daemon'>, seen: Pick<DriverSeen, 'mounts' | 'holders'>): readonly Finding[] {
  const { answering, holding } = heldBy(seen)
  if (daemon === undefined)
    return answering
      .filter(({ plugin }) => !plugin)
      .map(({ comm, pid }) => ({
        about: 'file',
        what: `${comm}[${pid}] answers for the volume and is not the process of start; say daemon: ${comm}, or the report does not show when it starts and ends`,
      }))
  const isIt = ({ comm }: Holder): boolean => comm === daemon.slice(0, LONGEST_COMM)
  if (answering.length === 0 || answering.some(isIt)) return []
  const who = answering.map(({ comm, pid }) => `${comm}[${pid}]`).join(', ')
  const what = holding.some(isIt)
    ? 'only holds a descriptor of /dev/fuse, and answers for nothing'
    : 'is no process that holds /dev/fuse'
  return [{ about: 'file', what: `daemon: ${daemon} ${what}; it is ${who} that answers for the volume` }]
}

function ofRead({ file }: DriverSpec, { read }: Pick<DriverSeen, 'read'>): readonly Finding[] {
  if (read === undefined) return []
  const { saw, afterMs, names, held } = read
  if (saw === 'right')
    return afterMs <= LATE
      ? []
      : [
          {
            about: 'driver',
            what: `${file} reads right only ${afterMs} ms after NodePublishVolume has answered OK: it answers before the mount is there, or its first read is slow`,
          },
        ]
  if (held !== undefined)
    return [
      {
        about: 'file',
        what: `${file} holds ${JSON.stringify(shortened(held, LONGEST_CONTENT))}, and not the content that the file says; say that, or have prepare or populate write it`,
      },
    ]
  const there = names.length === 0 ? 'the volume is empty' : `the volume has ${names.join(', ')}`
  return [
    {
      about: 'file',
      what: `${file} cannot be read: ${saw} (${there}); say another file, or put it there by prepare or populate, unless the driver loses it`,
    },
  ]
}

/** What reading a path says that is not there, or is no file. */
const NO_FILE = ['No such file or directory', 'Not a directory', 'Is a directory']

/**
 * What the file says wrongly of what consumers read, although the volume is mounted: each of them would read wrong in every cell, with and without a failure.
 * Undefined if it says that right, or if the driver may be the cause: a file that populate has written before the mount came is not in the volume.
 */
export function misnamedFile(driver: DriverSpec, seen: Pick<DriverSeen, 'mounts' | 'read'>): Finding | undefined {
  const { read, mounts } = seen
  const target = mounts.find(({ at }) => at === 'target')
  if (read === undefined || target === undefined || (driver.fuse && !target.fuse)) return undefined
  const isMissing = NO_FILE.includes(read.saw) && driver.populate === undefined
  return isMissing || read.saw === 'wrong' ? ofRead(driver, seen)[0] : undefined
}

/** Milliseconds from which on a first right read is late. */
const LATE = 1500

/** How much of a file is shown: characters. */
const LONGEST_CONTENT = 200

/** A mount in words: `fuse.rclone of remote:bucket`. */
export function inWords({ fsType, source }: MountedAt): string {
  return `${fsType} of ${source}`
}
