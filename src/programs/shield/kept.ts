import { Command } from '../../keeper/command.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { setProcessName } from '../../os/processes/process-name.ts'
import { keepProgram } from '../keep/program.ts'
import type { ProgramContext } from '../program.ts'
import type { ShieldOptions } from './options.ts'

/** Seconds in which a shield that was killed has a successor, at the least. */
const LEAST_DEADLINE = 60

/** Seconds that a shield has to end; its own times for the daemon are shorter. */
const STOP_TIMEOUT = 90

/** Runs the shield below a keeper of its own, in a process beside it: its descriptors are kept when it is killed. Resolves to the shield's exit status. */
export async function keepShield({ args, env, self }: ProgramContext, { giveUp }: ShieldOptions): Promise<number> {
  setProcessName('dummy-fuse-keep')
  const { executable, args: words, argv0 } = self(args)
  const sink = descriptorSink(2)
  return await keepProgram({
    command: new Command([argv0, ...words], env, executable),
    options: {
      socket: [],
      storeMax: 16,
      watchdog: 0,
      stopTimeout: STOP_TIMEOUT,
      takeoverDeadline: Math.max(giveUp / 1000, LEAST_DEADLINE),
      restart: 'after a signal',
    },
    hangUp: 'stop',
    // The shield says itself what it does.
    log: new Logger((line, level) => {
      if (level !== 'info') sink(line, level)
    }),
  })
}
