import { mkdtempSync, realpathSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, ProgramError } from '../../errors.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { closeForeignDescriptors } from '../../os/descriptors/descriptors.ts'
import { inheritedDescriptors } from '../../os/descriptors/inherited.ts'
import { Libc } from '../../os/libc.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { executablePath } from '../../os/processes/executable-on-path.ts'
import { exitAtOnce } from '../../os/processes/exit.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { Launcher } from '../../os/processes/launcher.ts'
import { requireProc } from '../../os/processes/proc.ts'
import { ServiceManager } from '../../sd/service-manager.ts'
import type { SessionFacts } from '../../shield/session-facts.ts'
import { Shield, type ShieldEnd } from '../../shield/shield.ts'
import { Succession } from '../../shield/succession.ts'
import { preflight } from '../dummy-fuse/preflight.ts'
import { launcherImage } from '../launcher-image.ts'
import type { Program } from '../program.ts'
import { DAEMON_STOPPING, nextStopSignal } from '../stop-signal.ts'
import { SHIELD_LIMITS } from './limits.ts'
import { keepShield } from './kept.ts'
import { parseShieldOptions, type ShieldOptions } from './options.ts'

/** dummy-fuse-csi shield: mounts what a foreign FUSE daemon serves, and outlives that daemon. A service manager that stores descriptors has it outlive itself. */
export const shield: Program = async (context) => {
  const { args, env } = context
  const options = parseShieldOptions(args)
  const libc = new Libc(new AddonLoader())
  const log = new Logger(descriptorSink(2))
  const manager = new ServiceManager(env, libc, log)
  if (!(await storesDescriptors(manager))) return await keepShield(context, options, libc)
  requireProc()
  const stop = nextStopSignal(DAEMON_STOPPING)
  const inherited = inheritedDescriptors(env, libc)
  // The daemon would get them.
  closeForeignDescriptors()
  const file = executablePath(options.program, env.PATH ?? '')
  if (file === undefined)
    throw new ProgramError(`${options.program} does not exist or is not executable; name an executable file`, STATUS.failed)
  const table = openMountTable(libc)
  const succession = new Succession(libc, manager, SHIELD_LIMITS.store, log)
  const left = await succession.left(inherited)
  if (left !== undefined) requireSame(options, left.state.facts)
  const mountpoint = left?.state.facts.mountpoint ?? (await preflight(options.mountpoint, NO_LEFTOVER, () => table))
  exitAtOnce(libc)
  const target = makeTarget(left?.state.facts.target)
  try {
    const launcher = new Launcher(libc, launcherImage('shield'))
    const times = { ...SHIELD_LIMITS, giveUp: options.giveUp }
    const command = { file, args: [options.program, ...options.args(target)], target }
    const { mountpoint: given, stableInodes, readOnly } = options
    const order = { given, mountpoint, command, stableInodes, readOnly }
    const end = await new Shield({ libc, launcher, table, log, times, succession, left }, order).run(stop)
    return finish(end, mountpoint, log)
  } finally {
    rmdirSync(target)
  }
}

const NO_LEFTOVER = { nonempty: false, links: 'follow' } as const

/** Whether the service manager stores the two descriptors that a successor needs. systemd tells it to its processes since 254. */
async function storesDescriptors({ supervisor, storeMax }: ServiceManager): Promise<boolean> {
  const most = storeMax ?? (supervisor === 'systemd' ? await (await import('../fused/job.ts')).storeMax() : undefined)
  return (most ?? 0) >= 2
}

/** A successor goes on with the mount that is there: it looks nothing up on it, because nobody would answer. Throws ProgramError. */
function requireSame({ mountpoint, stableInodes }: ShieldOptions, facts: SessionFacts): void {
  const differs = (what: string): ProgramError =>
    new ProgramError(
      `the shield of ${facts.given} that was killed had ${what}; start it as before, or stop the service that keeps its mount`,
      STATUS.usage,
    )
  if (facts.given !== mountpoint) throw differs('that mount point')
  if (facts.stableInodes !== stableInodes) throw differs(facts.stableInodes === true ? '--stable-inodes' : 'no --stable-inodes')
}

/** The daemon's own mount point, in which nothing is ever mounted. `left`: that of an earlier process. Throws ProgramError. */
function makeTarget(left: string | undefined): string {
  try {
    if (left !== undefined) {
      makeDirectories(left, 0o700)
      return left
    }
    // Some daemons resolve it, and mount at what they have found.
    return mkdtempSync(join(realpathSync(tmpdir()), 'dummy-fuse-shield-'))
  } catch (error) {
    const advice = 'set TMPDIR to a folder that can be written to'
    throw new ProgramError(`cannot make a directory for the daemon: ${messageOf(error)}; ${advice}`, STATUS.failed, {
      cause: error,
    })
  }
}

function finish(end: ShieldEnd, mountpoint: string, log: Logger): number {
  switch (end) {
    case 'stopped':
      log.info(`unmounted ${mountpoint}`)
      return STATUS.ok
    case 'unmounted':
      log.info(`${mountpoint} was unmounted`)
      return STATUS.ok
    case 'aborted':
      log.error(`the connection of ${mountpoint} was aborted; what is mounted there is dead: umount ${mountpoint}`)
      return STATUS.aborted
    case 'given up':
      log.error(
        `no daemon serves ${mountpoint}, and what is mounted there is dead; repair the daemon, umount ${mountpoint}, and start again`,
      )
      return STATUS.aborted
  }
}
