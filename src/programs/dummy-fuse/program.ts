import { UsageError } from '../../errors.ts'
import { AddonLoader } from '../../os/addons.ts'
import { closeForeignDescriptors } from '../../os/descriptors/descriptors.ts'
import { detachDead } from '../../os/mounts/leftover.ts'
import { exitAtOnce } from '../../os/processes/exit.ts'
import { Libc } from '../../os/libc.ts'
import { requireProc } from '../../os/processes/proc.ts'
import { deviceAt, MountinfoTable } from '../../os/mounts/mount-table.ts'
import type { Program } from '../program.ts'
import { startAndForget, startAndWait } from './background.ts'
import { StarterChannel, takeReadyFd } from './channel.ts'
import { serve } from './daemon.ts'
import { parseFuseOptions } from './options.ts'
import { NONEMPTY, preflight } from './preflight.ts'
import { isSpareRequest, Spare } from './spare.ts'

/** dummy-fuse: serves one mount, with libfuse's command line. */
export const dummyFuse: Program = async ({ args, env, self }) => {
  const options = isSpareRequest(args) ? undefined : parseFuseOptions(args)
  requireProc()
  const readyFd = takeReadyFd(env)
  const serves = options === undefined || options.foreground || readyFd !== undefined
  let loaded: Libc | undefined
  const libc = (): Libc => {
    if (loaded !== undefined) return loaded
    loaded = new Libc(new AddonLoader())
    if (serves) exitAtOnce(loaded)
    return loaded
  }

  // What spawns the daemon lets go of them too: they would be passed on.
  if (readyFd !== undefined || !options?.foreground) closeForeignDescriptors(readyFd)
  const channel = readyFd === undefined ? undefined : new StarterChannel(readyFd)
  if (options === undefined) {
    if (channel === undefined) throw new UsageError('only a plugin starts a dummy-fuse with --spare; name a mount point instead')
    return await new Spare({ libc: libc(), channel, self }).begin()
  }
  if (serves) {
    const served = await serve(options, { libc, channel })
    if (channel === undefined || !options.foreground) return served.status
    return await new Spare({ libc: libc(), channel, self }).goOn(served)
  }
  if (options.daemonize === 'early') return startAndForget(self(['-f', ...args]))

  const nonempty = options.mountOptions.includes('nonempty')
  const allowed = { nonempty, nonemptyOption: NONEMPTY, links: 'follow' } as const
  const mountpoint = await preflight(options.mountpoint, allowed, () => MountinfoTable.snapshot())
  const table = MountinfoTable.current()
  const before = deviceAt(table, mountpoint)
  const cleanUp = (): Promise<void> => detachDead(table, libc, mountpoint, before)
  return await startAndWait(self(args), mountpoint, options.initTimeout, cleanUp)
}
