import type { Command } from '../command.ts'
import type { Container, PluginProcess } from '../cell/container-plugin.ts'
import { Helpers } from '../cell/helpers.ts'
import { UnitProcess } from '../cell/unit-process.ts'
import type { Timeline } from '../cell/timeline.ts'
import type { DriverSpec } from './spec.ts'

/** The container of somebody's driver. */
export function driverContainer(driver: DriverSpec, timeline: Timeline): Container {
  const { start, upgrade, container, stop, socket, env, helpers, systemd } = driver
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
  const beside = new Helpers(
    helpers.filter(({ belongs }) => belongs === 'container'),
    env,
    timeline,
  )
  const all = { program, flags: [], takes: container, stop, socket, env, beside }
  return systemd ? { ...all, launch: unitLauncher() } : all
}

/** Starts each process as a unit of its own. */
function unitLauncher(): NonNullable<Container['launch']> {
  let units = 0
  return async (command, log, env): Promise<PluginProcess> =>
    await UnitProcess.start(`dummy-fuse-lab-plugin-${++units}`, command, log, env)
}

/** The helpers of somebody's driver that do not end with its container. */
export function nodeHelpers({ helpers, env }: DriverSpec, timeline: Timeline): Helpers {
  return new Helpers(
    helpers.filter(({ belongs }) => belongs !== 'container'),
    env,
    timeline,
  )
}
