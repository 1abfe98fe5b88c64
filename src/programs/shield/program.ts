import { AddonLoader } from '../../os/addons.ts'
import { closeForeignDescriptors } from '../../os/descriptors/descriptors.ts'
import { Libc } from '../../os/libc.ts'
import { detachDead } from '../../os/mounts/leftover.ts'
import { deviceAt, MountinfoTable } from '../../os/mounts/mount-table.ts'
import { requireProc } from '../../os/processes/proc.ts'
import { startAndWait } from '../dummy-fuse/background.ts'
import { StarterChannel, takeReadyFd } from '../dummy-fuse/channel.ts'
import { preflight } from '../dummy-fuse/preflight.ts'
import type { Program } from '../program.ts'
import { runClient } from './client.ts'
import { isClientWord, parseClientOptions } from './client-options.ts'
import { SHIELD_LIMITS } from './limits.ts'
import { parseShieldOptions } from './options.ts'
import { MOUNT_POINT, serve } from './serve.ts'

/** dummy-fuse-csi shield: mounts what a foreign FUSE daemon serves, and outlives that daemon; or has to do with a shield that runs. */
export const shield: Program = async ({ args, env, self }) => {
  const [word, ...rest] = args
  if (isClientWord(word)) {
    const request = parseClientOptions(word, rest)
    requireProc()
    return await runClient(request, env)
  }
  const options = parseShieldOptions(args)
  requireProc()
  const readyFd = takeReadyFd(env)
  // The daemon would get them.
  closeForeignDescriptors(readyFd)
  if (!options.background) return await serve(options, { env, channel: undefined })
  if (readyFd !== undefined) return await serve(options, { env, channel: new StarterChannel(readyFd) })
  const mountpoint = await preflight(options.mountpoint, MOUNT_POINT, () => MountinfoTable.snapshot())
  const table = MountinfoTable.current()
  const before = deviceAt(table, mountpoint)
  const cleanUp = (): Promise<void> => detachDead(table, () => new Libc(new AddonLoader()), mountpoint, before)
  return await startAndWait(self(args), mountpoint, SHIELD_LIMITS.background / 1000, cleanUp)
}
