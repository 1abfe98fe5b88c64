import { controller } from '../../csi/controller.ts'
import { identity } from '../../csi/identity.ts'
import { node } from '../../csi/node.ts'
import { CsiServer } from '../../csi/server.ts'
import { messageOf, ProgramError } from '../../errors.ts'
import { checkMountOption } from '../../fuse/options.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { Libc } from '../../os/libc.ts'
import { ServiceManager } from '../../os/sd-notify.ts'
import { claimSocket } from '../../os/unix-socket.ts'
import { versionText } from '../../version.ts'
import type { Program } from '../program.ts'
import { parsePluginOptions, type PluginOptions } from './options.ts'
import { openVolumes, type VolumeSystem } from './volumes.ts'

/** dummy-fuse-csi serve: the CSI plugin, until SIGTERM or SIGINT. */
export const plugin: Program = async (context) => {
  const options = parsePluginOptions(context.words, context.env)
  const log = new Logger(descriptorSink(2), options.logFormat)
  const libc = new Libc(new AddonLoader())
  const manager = new ServiceManager(context.env, libc, log)
  const told = toldToEnd()

  log.info(`Driver: ${options.driverName}`)
  log.info(`Driver version: ${versionText()}`)
  await claimSocket(options.socket)
  const system = openState(() => openVolumes(options, context, libc, log), options.stateDir)
  if (options.restoreMounts) await system.restorer.restore()
  const server = new CsiServer(services(options, system), log)
  await server.listen(options.socket)
  manager.notify('READY=1', `STATUS=Serving on ${options.socket}`)

  const signal = await told
  log.info(`Ending at ${signal}`)
  manager.notify('STOPPING=1')
  await server.close()
  return 0
}

function services(
  { driverName, nodeId, roles }: PluginOptions,
  { volumes, registry }: VolumeSystem,
): ConstructorParameters<typeof CsiServer>[0] {
  const isController = roles.has('controller')
  return {
    identity: identity(driverName, versionText(), isController),
    node: roles.has('node') ? node(nodeId, volumes, checkMountOption) : undefined,
    controller: controller(registry, isController),
  }
}

function openState<T>(open: () => T, stateDir: string): T {
  try {
    return open()
  } catch (error) {
    throw new ProgramError(
      `cannot use the state folder ${stateDir}: ${messageOf(error)}; mend it, or name another with --state-dir`,
      1,
      { cause: error },
    )
  }
}

async function toldToEnd(): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    process.on('SIGTERM', resolve)
    process.on('SIGINT', resolve)
  })
}
