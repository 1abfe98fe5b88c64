import { mkdtempSync, realpathSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, ProgramError } from '../../errors.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { closeForeignDescriptors } from '../../os/descriptors/descriptors.ts'
import { Libc } from '../../os/libc.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { executablePath } from '../../os/processes/executable-on-path.ts'
import { exitAtOnce } from '../../os/processes/exit.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { Launcher } from '../../os/processes/launcher.ts'
import { requireProc } from '../../os/processes/proc.ts'
import { Shield, type ShieldEnd } from '../../shield/shield.ts'
import { preflight } from '../dummy-fuse/preflight.ts'
import { launcherImage } from '../launcher-image.ts'
import type { Program } from '../program.ts'
import { DAEMON_STOPPING, nextStopSignal } from '../stop-signal.ts'
import { SHIELD_LIMITS } from './limits.ts'
import { parseShieldOptions } from './options.ts'

/** dummy-fuse-csi shield: mounts what a foreign FUSE daemon serves, and outlives that daemon. */
export const shield: Program = async ({ args, env }) => {
  const options = parseShieldOptions(args)
  requireProc()
  const stop = nextStopSignal(DAEMON_STOPPING)
  // The daemon would get them.
  closeForeignDescriptors()
  const file = executablePath(options.program, env.PATH ?? '')
  if (file === undefined)
    throw new ProgramError(`${options.program} does not exist or is not executable; name an executable file`, STATUS.failed)
  const libc = new Libc(new AddonLoader())
  const table = openMountTable(libc)
  const mountpoint = await preflight(options.mountpoint, { nonempty: false, links: 'follow' }, () => table)
  exitAtOnce(libc)
  const log = new Logger(descriptorSink(2))
  const launcher = new Launcher(libc, launcherImage('shield'))
  const target = makeTarget()
  try {
    const times = { ...SHIELD_LIMITS, giveUp: options.giveUp }
    const command = { file, args: [options.program, ...options.args(target)], target }
    const order = { mountpoint, command, stableInodes: options.stableInodes, readOnly: options.readOnly }
    const end = await new Shield({ libc, launcher, table, log, times }, order).run(stop)
    return finish(end, mountpoint, log)
  } finally {
    rmdirSync(target)
  }
}

/** The daemon's own mount point, in which nothing is ever mounted. Throws ProgramError. */
function makeTarget(): string {
  try {
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
