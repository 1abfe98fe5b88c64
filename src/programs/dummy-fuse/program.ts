import { AddonLoader } from '../../os/addons.ts'
import { closeForeignDescriptors } from '../../os/descriptors.ts'
import { detachDead } from '../../os/leftover.ts'
import { Libc } from '../../os/libc.ts'
import { deviceAt, MountinfoTable } from '../../os/mount-table.ts'
import type { Program } from '../program.ts'
import { startAndForget, startAndWait } from './background.ts'
import { takeReadyFd } from './channel.ts'
import { serve } from './daemon.ts'
import { parseFuseOptions } from './options.ts'
import { preflight } from './preflight.ts'

/** dummy-fuse: serves one mount, with libfuse's command line. */
export const dummyFuse: Program = async ({ words, env, self }) => {
  const options = parseFuseOptions(words)
  let loaded: Libc | undefined
  const libc = (): Libc => (loaded ??= new Libc(new AddonLoader()))

  const readyFd = takeReadyFd(env)
  // What spawns the daemon lets go of them too: they would be passed on.
  if (readyFd !== undefined || !options.foreground) closeForeignDescriptors(readyFd)
  if (options.foreground || readyFd !== undefined) return await serve(options, { libc, readyFd })
  if (options.daemonize === 'early') return startAndForget(self(['-f', ...words]))

  const mountpoint = await preflight(options.mountpoint, options.mountOptions.includes('nonempty'))
  const table = new MountinfoTable()
  const before = deviceAt(table, mountpoint)
  const cleanUp = (): Promise<void> => detachDead(table, libc, mountpoint, before)
  return await startAndWait(self(words), mountpoint, options.initTimeout, cleanUp)
}
