import type { Command } from '../command.ts'
import type { Container } from '../cell/container-plugin.ts'
import type { DriverSpec } from './spec.ts'

/** The container of somebody's driver. */
export function driverContainer({ start, upgrade, container, stop, socket, env }: DriverSpec): Container {
  const version = { args: start }
  const program = {
    get command(): Command {
      const [executable = '', ...args] = version.args
      return { executable, args, argv0: executable }
    },
    replace: (): void => {
      version.args = upgrade
    },
  }
  return { program, flags: [], takes: container, stop, socket, env }
}
