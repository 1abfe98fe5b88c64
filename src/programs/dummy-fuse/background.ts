import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import { codeOf, errnoMeaning, messageOf, ProgramError, withRemedy } from '../../errors.ts'
import { ChildProgram, type ProcessEnd } from '../../os/processes/child-program.ts'
import { LineCutter } from '../../line-cutter.ts'
import { parseWord, READY_FD } from '../../os/processes/daemon-channel.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { settledWithin } from '../../os/processes/settled-within.ts'
import { oneLine } from '../../printable.ts'

/** The arguments that start the executable again as a daemon: all but the descriptor that it reports on. */
export interface DaemonCommand {
  readonly executable: string
  readonly args: readonly string[]
  readonly argv0: string
}

/**
 * Starts the daemon and returns only when it has handled INIT, with 0, or with its exit status and its whole standard error. Node
 * cannot fork: the daemon is a new process in a session of its own that holds no descriptor of the caller's. Past `timeout` seconds
 * it is killed. However it ended, `cleanUp` is awaited when no mount of it can land any more. Throws ProgramError.
 */
export async function startAndWait(
  reborn: DaemonCommand,
  mountpoint: string,
  timeout: number,
  cleanUp: () => Promise<void>,
): Promise<number> {
  const outcome = await start(reborn, timeout)
  if (outcome === 'ready') return STATUS.ok
  await cleanUp()
  if (outcome === 'late')
    throw new ProgramError(`${mountpoint}: INIT was not handled within ${timeout} s; the daemon was killed`, STATUS.initTimeout)
  const { status, signal } = outcome
  if (status === null) {
    const number = constants.signals[signal ?? 'SIGKILL']
    throw new ProgramError(`${mountpoint}: the daemon was killed by signal ${number}`, 128 + number)
  }
  if (status === STATUS.ok)
    throw new ProgramError(
      `${mountpoint}: the daemon was ended by SIGTERM, SIGINT or SIGHUP before it had mounted; nothing is mounted`,
      STATUS.failed,
    )
  return status
}

async function start({ executable, args, argv0 }: DaemonCommand, timeout: number): Promise<ProcessEnd | 'ready' | 'late'> {
  const env = { ...process.env, [READY_FD]: '3' }
  const child = new ChildProgram({
    file: executable,
    args,
    argv0,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env,
  })
  // libfuse writes there too, whatever is in a path.
  if (child.stderr !== undefined)
    createInterface({ input: child.stderr }).on('line', (line) => process.stderr.write(`${oneLine(line)}\n`))
  const ready = Promise.withResolvers<'ready'>()
  const lines = new LineCutter()
  child.channel?.on('data', (piece: Buffer) => {
    if (lines.push(piece).some((line) => parseWord(line) === 'ready')) ready.resolve('ready')
  })
  try {
    const outcome = await settledWithin(Promise.race([ready.promise, child.closed]), timeout * 1000)
    if (outcome !== 'late') return outcome
    child.kill()
    await child.closed
    return 'late'
  } catch (error) {
    throw cannotStart(error)
  }
}

function cannotStart(error: unknown): ProgramError {
  const status = errnoMeaning(codeOf(error)) === 'exhausted' ? STATUS.exhausted : STATUS.failed
  return new ProgramError(withRemedy(`cannot start the daemon: ${messageOf(error)}`, error), status, { cause: error })
}

/** The flaw of blobfuse2 (issues #1079 and #1081), on purpose: returns while nothing is mounted yet, whatever comes of it. */
export function startAndForget({ executable, args, argv0 }: DaemonCommand): number {
  new ChildProgram({ file: executable, args, argv0, detached: true, stdio: 'ignore' }).unref()
  return STATUS.ok
}
