import { Command } from '../../keeper/command.ts'
import { descriptorSink, Logger } from '../../log.ts'
import type { Libc } from '../../os/libc.ts'
import { detachDead } from '../../os/mounts/leftover.ts'
import { deviceAt, openMountTable } from '../../os/mounts/mount-table.ts'
import { setProcessName } from '../../os/processes/process-name.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { keepProgram } from '../keep/program.ts'
import type { ProgramContext } from '../program.ts'
import type { ShieldOptions } from './options.ts'

/** Seconds in which a shield that was killed has a successor, at the least. */
const LEAST_DEADLINE = 60

/** An exit status of more says that a signal ended the shield. */
const KILLED = 128

/** Seconds that a shield has to end; its own times for the daemon are shorter. */
const STOP_TIMEOUT = 90

/** Runs the shield below a keeper of its own, in a process beside it: its descriptors are kept when it is killed. Resolves to the shield's exit status. */
export async function keepShield(
  { args, env, self }: ProgramContext,
  { mountpoint, giveUp }: ShieldOptions,
  libc: Libc,
): Promise<number> {
  setProcessName('dummy-fuse-keep')
  const table = openMountTable(libc)
  const before = deviceAt(table, mountpoint)
  const { executable, args: words, argv0 } = self(args)
  const sink = descriptorSink(2)
  const status = await keepProgram({
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
  // A shield that was killed while it was being stopped, or before it could heed the signal, has not unmounted.
  if (status === STATUS.ok || status > KILLED) await detachDead(table, () => libc, mountpoint, before)
  return status
}
