import { AddonLoader } from '../../os/addons.ts'
import { closeForeignDescriptors } from '../../os/descriptors/descriptors.ts'
import { inheritedDescriptors } from '../../os/descriptors/inherited.ts'
import { Libc } from '../../os/libc.ts'
import { detachDead } from '../../os/mounts/leftover.ts'
import { deviceAt, MountinfoTable } from '../../os/mounts/mount-table.ts'
import { requireProc } from '../../os/processes/proc.ts'
import { ServiceManager } from '../../sd/service-manager.ts'
import { startAndWait } from '../dummy-fuse/background.ts'
import { takeReadyFd } from '../dummy-fuse/channel.ts'
import { preflight } from '../dummy-fuse/preflight.ts'
import type { Program, ProgramContext } from '../program.ts'
import { runClient } from './client.ts'
import { isClientWord, parseClientOptions } from './client-options.ts'
import { keepShield, takeKeeper } from './kept.ts'
import { SHIELD_LIMITS } from './limits.ts'
import { Messages } from './messages.ts'
import { parseShieldOptions, type ShieldOptions } from './options.ts'
import { allowedMountPoint, serve } from './serve.ts'

/**
 * dummy-fuse-csi shield: mounts what a foreign FUSE daemon serves, and outlives that daemon; or has to do with a shield that runs. A service manager that stores descriptors
 * has it outlive itself: in the background one of its own, and in the foreground too where there is no other.
 */
export const shield: Program = async (context) => {
  const { args, env } = context
  const [word, ...rest] = args
  if (isClientWord(word)) {
    const request = parseClientOptions(word, rest)
    requireProc()
    return await runClient(request, env)
  }
  const options = parseShieldOptions(args)
  requireProc()
  const libc = new Libc(new AddonLoader())
  const readyFd = takeReadyFd(env)
  const keeper = takeKeeper(env)
  const inherited = inheritedDescriptors(env, libc)
  // The daemon would get them.
  closeForeignDescriptors(readyFd)
  if (options.background && keeper === undefined && readyFd === undefined) return await startInBackground(context, options)
  const messages = new Messages(libc, options)
  const manager = new ServiceManager(env, libc, messages.log)
  if (keeper === undefined && (options.background || !(await storesDescriptors(manager))))
    return await keepShield(context, options, { libc, messages, readyFd })
  return await serve(options, { env, libc, messages, manager, keeper, inherited })
}

async function startInBackground({ args, self }: ProgramContext, options: ShieldOptions): Promise<number> {
  const mountpoint = await preflight(options.mountpoint, allowedMountPoint(options), () => MountinfoTable.snapshot())
  const table = MountinfoTable.current()
  const before = deviceAt(table, mountpoint)
  const cleanUp = (): Promise<void> => detachDead(table, () => new Libc(new AddonLoader()), mountpoint, before)
  return await startAndWait(self(args), mountpoint, SHIELD_LIMITS.background / 1000, cleanUp)
}

/** Whether the service manager stores the two descriptors that a successor needs. systemd tells it to its processes since 254. */
async function storesDescriptors({ supervisor, storeMax }: ServiceManager): Promise<boolean> {
  const most = storeMax ?? (supervisor === 'systemd' ? await (await import('../fused/job.ts')).storeMax() : undefined)
  return (most ?? 0) >= 2
}
