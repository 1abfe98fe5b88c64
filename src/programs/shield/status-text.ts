import { oneLine } from '../../printable.ts'
import type { ShieldKeeper, ShieldStatus } from '../../shield/control-protocol.ts'

/** A shield as `status` shows it. One that has not answered is `hung`, `killed`, or of another version (`strange`). */
export type ShownShield =
  | (Omit<ShieldStatus, 'ok'> & { readonly mountNamespace: string })
  | {
      readonly mountpoint: string
      readonly mountNamespace: string
      readonly pid: number
      readonly state: 'hung' | 'killed' | 'strange'
      /** What is to start its successor. */
      readonly keeper: ShieldKeeper
    }

const LIMITS =
  "not restored: locks of the daemon's own, ioctl(2) and exchanges of names in flight, removed directories in use; see docs/shield.md"

/** Lines for people; `namespace`: the reader's own mount namespace. */
export function asText(shield: ShownShield, namespace: string): string {
  const { mountpoint, mountNamespace, pid, state } = shield
  const elsewhere = mountNamespace === namespace ? '' : ', in another mount namespace'
  switch (state) {
    case 'hung':
      return `${oneLine(mountpoint)}: hung: process ${pid}, the shield, does not answer${elsewhere}\n`
    case 'killed':
      return `${oneLine(mountpoint)}: killed: process ${pid}, the shield, is gone; ${successorWords(shield.keeper)}${elsewhere}\n`
    case 'strange':
      return `${oneLine(mountpoint)}: process ${pid}, the shield, is of another version${elsewhere}\n`
    default:
      return `${oneLine(mountpoint)}: ${state}${mountWords(shield)}${elsewhere}\n${details(shield)}`
  }
}

type Answered = Exclude<ShownShield, { state: 'hung' | 'killed' | 'strange' }>

function mountWords({ mount, state }: Answered): string {
  if (mount === 'covered') return ', covered by another mount'
  return mount === 'absent' && state !== 'starting' ? ', not mounted there any more' : ''
}

function successorWords(keeper: ShieldKeeper): string {
  return keeper === null ? 'a mount of it is dead' : `${keeperWords(keeper)}, is to start another`
}

function keeperWords({ name, pid }: NonNullable<ShieldKeeper>): string {
  return pid === null ? name : `${name}, process ${pid}`
}

function details({
  pid,
  since,
  keeper,
  command,
  daemon,
  away,
  incarnation,
  restarts,
  upgrades,
  deaths,
  requests,
  nodes,
  openFiles,
  options,
}: Answered): string {
  const { inFlight, resent, takenAsDone, stale, suspectsFailed, undecided } = requests
  const user = options.user === null ? 'as the shield does' : `as the user ${oneLine(options.user)}`
  const inodes = options.stableInodes ? 'stable inode numbers' : 'inode numbers of the shield'
  const lines = [
    `shield    process ${pid} since ${since}${deaths === 0 ? '' : ', the successor of one that was killed'}`,
    `keeper    ${keeper === null ? 'none: if the shield is killed, the mount is dead' : keeperWords(keeper)}`,
    ...(options.holder === null ? [] : [`holder    ${oneLine(options.holder)}`]),
    `command   ${oneLine(command.join(' '))}`,
    daemon === null ? 'daemon    none serves' : `daemon    process ${daemon.pid} since ${daemon.since}`,
    ...(away === null ? [] : [`away      for ${away.seconds} s: ${oneLine(away.why)}`]),
    `history   ${incarnation} have served; ${restarts} restarts, ${upgrades} upgrades; the shield was killed ${deaths} times`,
    `requests  ${inFlight} in flight, ${resent} resent, ${takenAsDone} taken as done`,
    `errors    ${stale} ESTALE, ${suspectsFailed} EIO of requests that end daemons, ${undecided} EIO of requests that may have been done`,
    `files     ${nodes} known, ${openFiles} open`,
    `options   ${options.readOnly ? 'read-only' : 'writable'}, ${inodes}, daemons run ${user}, gives up after ${options.giveUp} s`,
    `limits    ${LIMITS}`,
  ]
  return lines.map((line) => `  ${line}\n`).join('')
}
