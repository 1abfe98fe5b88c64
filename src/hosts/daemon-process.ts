import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type CallContext, isCallEnded } from '../call-context.ts'
import { codeOf, errnoMeaning, messageOf } from '../errors.ts'
import { type Logger, withoutTimestamp } from '../log.ts'
import { READY_FD, wordLine } from '../os/daemon-channel.ts'
import { STATUS } from '../os/exit-status.ts'
import { HostError, type HostErrorKind } from './host.ts'

/** How a daemon is to be executed. `argv0` is the name it goes by. */
export interface Execution {
  readonly file: string
  readonly args: readonly string[]
  readonly argv0: string
  /** In a session, and so a process group, of its own. */
  readonly detached: boolean
  readonly env: NodeJS.ProcessEnv
}

/** A program that is started and then says that it is ready. */
export interface StartedProgram {
  /** What it is called in messages. */
  readonly name: string
  /** What it has not done when it is killed, after its name: `did not handle INIT`. */
  readonly missed: string
  /** What ended too early, after `before`: `its mount was ready`. */
  readonly goal: string
  /** What an exit status means for the call; of one that is not named, calling again may help. */
  readonly kinds: Readonly<Record<number, HostErrorKind>>
}

/** How a daemon's process came to its end. */
interface End {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

/**
 * Starts a daemon that stays in the foreground and resolves to it when it has said that it is ready. Its standard error goes to our log
 * for as long as both live. Rejects with HostError, the daemon's own last line in it, when it ends before. When the call ends before that, the
 * daemon is killed and waited for, so that no mount of it can land afterwards.
 */
export async function startDaemon(
  execution: Execution,
  call: CallContext,
  log: Logger,
  program: StartedProgram = DUMMY_FUSE,
): Promise<ChildProcess> {
  call.signal.throwIfAborted()
  const began = performance.now()
  const child = execute(execution, program)
  const ended = endOf(child, program)
  const said = relay(child, program, log)
  const outcome = await Promise.race([ready(child), ended, aborted(call.signal)])
  if (outcome === 'ready') return child
  if (outcome !== 'aborted') throw endedEarly(outcome, program, said)
  child.kill('SIGKILL')
  const buried = await Promise.race([ended.catch(() => undefined), aborted(call.cleanUp.signal)])
  const fate = buried === 'aborted' ? 'was killed but is still in the kernel' : 'was killed'
  const reason: unknown = call.signal.reason
  if (isCallEnded(reason) && reason.kind === 'cancelled') throw reason
  const time = ((performance.now() - began) / 1000).toFixed(1)
  throw new HostError('timeout', `${program.name} ${program.missed} within ${time} s and ${fate}`)
}

function execute({ file, args, argv0, detached, env }: Execution, program: StartedProgram): ChildProcess {
  try {
    return spawn(file, args, { argv0, detached, stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env: { ...env, [READY_FD]: '3' } })
  } catch (error) {
    throw cannotStart(error, program)
  }
}

function cannotStart(error: unknown, { name }: StartedProgram): HostError {
  const code = codeOf(error)
  const exhausted = errnoMeaning(code) === 'exhausted'
  const advice = code === 'EMFILE' ? '; raise the limit of open files (ulimit -n, LimitNOFILE=)' : ''
  return new HostError(exhausted ? 'exhausted' : 'unavailable', `cannot start ${name}: ${messageOf(error)}${advice}`, {
    cause: error,
  })
}

/** All that is said before the daemon is ready is also the reason why it never was. */
function relay(child: ChildProcess, { name }: StartedProgram, log: Logger): readonly string[] {
  const said: string[] = []
  // A child that could not be started has no streams.
  if (!child.stderr) return said
  createInterface({ input: child.stderr }).on('line', (line) => {
    const stamped = withoutTimestamp(line)
    const text = stamped.startsWith(`${name}: `) ? stamped.slice(name.length + 2) : stamped
    if (said.length < 20) said.push(text)
    log.info(`${name}[${child.pid ?? 0}]: ${text}`)
  })
  return said
}

async function ready(child: ChildProcess): Promise<'ready'> {
  const channel = (child.stdio as ChildProcess['stdio'] | undefined)?.[3]
  return await new Promise((resolve) => {
    if (channel === null || channel === undefined || !('resume' in channel)) return
    let text = ''
    channel.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text !== wordLine('ready')) return
      channel.destroy()
      resolve('ready')
    })
  })
}

async function endOf(child: ChildProcess, program: StartedProgram): Promise<End> {
  return await new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(cannotStart(error, program))
    })
    // 'close' comes after the last line of standard error, unlike 'exit'.
    child.once('close', (status, signal) => {
      resolve({ status, signal })
    })
  })
}

async function aborted(signal: AbortSignal): Promise<'aborted'> {
  return await new Promise((resolve) => {
    const onAbort = (): void => {
      resolve('aborted')
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

function endedEarly({ status, signal }: End, { name, goal, kinds }: StartedProgram, said: readonly string[]): HostError {
  if (signal !== null)
    return new HostError(
      'unavailable',
      `${name} was ended by ${signal} before ${goal}${said.length > 0 ? `: ${said.join('; ')}` : ''}`,
    )
  const why = said.length === 0 ? `${name} ended with exit status ${status ?? 0} and said nothing` : said.join('; ')
  return new HostError(kinds[status ?? 0] ?? 'unavailable', why)
}

const DUMMY_FUSE: StartedProgram = {
  name: 'dummy-fuse',
  missed: 'did not handle INIT',
  goal: 'its mount was ready',
  // All others, such as an executable that cannot be unpacked, may be cured.
  kinds: {
    [STATUS.usage]: 'failed',
    [STATUS.notADirectory]: 'precondition',
    [STATUS.notEmpty]: 'precondition',
    [STATUS.notRoot]: 'failed',
    [STATUS.initTimeout]: 'timeout',
    [STATUS.mountFailed]: 'failed',
    [STATUS.exhausted]: 'exhausted',
  },
}

/** The one dummy-fused of `--daemons shared`. */
export const DUMMY_FUSED: StartedProgram = {
  name: 'dummy-fused',
  missed: 'did not serve its socket',
  goal: 'it served its socket',
  kinds: { [STATUS.usage]: 'failed' },
}
