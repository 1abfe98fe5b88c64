import { AddonLoader } from '../../os/addons.ts'
import { closeForeignDescriptors } from '../../os/descriptors.ts'
import { deviceAt, detachUnless } from '../../os/leftover.ts'
import { Libc } from '../../os/libc.ts'
import { MountinfoTable } from '../../os/mount-table.ts'
import type { Program } from '../program.ts'
import { startAndForget, startAndWait } from './background.ts'
import { takeReadyFd } from './channel.ts'
import { serve } from './daemon.ts'
import { parseFuseOptions } from './options.ts'

/** dummy-fuse: serves one mount, with libfuse's command line. */
export const dummyFuse: Program = async ({ words, env, self }) => {
  const options = parseFuseOptions(words)
  let loaded: Libc | undefined
  const libc = (): Libc => (loaded ??= new Libc(new AddonLoader()))

  const readyFd = takeReadyFd(env)
  if (readyFd !== undefined) closeForeignDescriptors(readyFd)
  if (options.foreground || readyFd !== undefined) return await serve(options, { libc, readyFd })
  if (options.daemonize === 'early') return startAndForget(self(['-f', ...words]))

  const table = new MountinfoTable()
  const before = deviceAt(table, options.mountpoint)
  return await startAndWait(self(words), options.initTimeout, () => {
    detachUnless(table, libc(), options.mountpoint, before)
  })
}
