import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import { codeOf, errnoMeaning, messageOf, ProgramError, withRemedy } from '../../errors.ts'
import { LineCutter, parseWord, READY_FD } from '../../os/processes/daemon-channel.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { oneLine } from '../../printable.ts'

/** How the daemon's start came out. */
type Outcome = { readonly kind: 'ready' } | { readonly kind: 'timeout' } | { readonly kind: 'ended'; readonly status: number }

/** The words that start the executable again as a daemon: everything but the descriptor that it reports on. */
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
  if (outcome.kind === 'ready') return STATUS.ok
  await cleanUp()
  if (outcome.kind === 'timeout')
    throw new ProgramError(`${mountpoint}: INIT was not handled within ${timeout} s; the daemon was killed`, STATUS.initTimeout)
  if (outcome.status > 128)
    throw new ProgramError(`${mountpoint}: the daemon was killed by signal ${outcome.status - 128}`, outcome.status)
  if (outcome.status === STATUS.ok)
    throw new ProgramError(
      `${mountpoint}: the daemon was ended by SIGTERM, SIGINT or SIGHUP before it had mounted; nothing is mounted`,
      STATUS.failed,
    )
  return outcome.status
}

async function start(reborn: DaemonCommand, timeout: number): Promise<Outcome> {
  const child = execute(reborn)
  // Without a descriptor left (EMFILE) there is a child without streams, and the error comes later.
  const [, , stderr, channel] = (child.stdio as typeof child.stdio | undefined) ?? []
  if (stderr === null || stderr === undefined || channel === null || channel === undefined || !('setEncoding' in channel))
    throw cannotStart((await once(child, 'error'))[0])

  return await new Promise<Outcome>((resolve, reject) => {
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(cannotStart(error))
    })
    const lines = new LineCutter()
    const timer = setTimeout(() => {
      // A word that comes now comes from a daemon that is being killed.
      channel.removeAllListeners('data').resume()
      child.removeAllListeners('close').once('close', () => {
        resolve({ kind: 'timeout' })
      })
      child.kill('SIGKILL')
    }, timeout * 1000)
    // libfuse writes there too, whatever is in a path.
    createInterface({ input: stderr }).on('line', (line) => process.stderr.write(`${oneLine(line)}\n`))
    channel.setEncoding('utf8').on('data', (text: string) => {
      if (!lines.push(text).some((line) => parseWord(line) === 'ready')) return
      clearTimeout(timer)
      resolve({ kind: 'ready' })
    })
    // 'close' comes after the last byte of standard error, unlike 'exit'.
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      resolve({ kind: 'ended', status: status ?? 128 + constants.signals[signal ?? 'SIGKILL'] })
    })
  })
}

function execute({ executable, args, argv0 }: DaemonCommand): ChildProcess {
  const env = { ...process.env, [READY_FD]: '3' }
  try {
    return spawn(executable, args, { argv0, detached: true, stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env })
  } catch (error) {
    throw cannotStart(error)
  }
}

function cannotStart(error: unknown): ProgramError {
  const status = errnoMeaning(codeOf(error)) === 'exhausted' ? STATUS.exhausted : STATUS.failed
  return new ProgramError(withRemedy(`cannot start the daemon: ${messageOf(error)}`, error), status, { cause: error })
}

/** The flaw of blobfuse2 (issues #1079 and #1081), on purpose: returns while nothing is mounted yet, whatever comes of it. */
export function startAndForget(reborn: DaemonCommand): number {
  const child = spawn(reborn.executable, reborn.args, { argv0: reborn.argv0, detached: true, stdio: 'ignore' })
  child.on('error', () => undefined)
  child.unref()
  return STATUS.ok
}
