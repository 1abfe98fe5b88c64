import type { Command } from '../command.ts'
import type { Container } from '../cell/container-plugin.ts'
import { Helpers } from '../cell/helpers.ts'
import type { Timeline } from '../cell/timeline.ts'
import type { DriverSpec } from './spec.ts'

/** The container of somebody's driver. */
export function driverContainer(driver: DriverSpec, timeline: Timeline): Container {
  const { start, upgrade, container, stop, socket, env, helpers } = driver
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
  return { program, flags: [], takes: container, stop, socket, env, beside }
}

/** The helpers of somebody's driver that do not end with its container. */
export function nodeHelpers({ helpers, env }: DriverSpec, timeline: Timeline): Helpers {
  return new Helpers(
    helpers.filter(({ belongs }) => belongs !== 'container'),
    env,
    timeline,
  )
}
