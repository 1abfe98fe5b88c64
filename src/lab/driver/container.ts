import type { Command } from '../command.ts'
import type { Container } from '../cell/container-plugin.ts'
import { PLUGIN_FOLDER, SOCKET } from '../node-paths.ts'
import { type DriverSpec, filled, type Places } from './spec.ts'

/** Where a driver finds itself on the private node. */
export const PLACES: Places = { socket: SOCKET, state: PLUGIN_FOLDER, node: 'lab-node' }

/** The container of somebody's driver. */
export function driverContainer({ start, upgrade, container, stop }: DriverSpec): Container {
  const version = { args: start }
  const program = {
    get command(): Command {
      const [executable = '', ...args] = filled(version.args, PLACES)
      return { executable, args, argv0: executable }
    },
    replace: (): void => {
      version.args = upgrade
    },
  }
  return { program, flags: [], takes: container, stop }
}
