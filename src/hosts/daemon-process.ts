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

/** How a daemon's process came to its end. */
interface End {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

/**
 * Starts a dummy-fuse that stays in the foreground and resolves to it when it has handled INIT. Its standard error goes to our log
 * for as long as both live. Rejects with HostError, the daemon's own last line in it, when it ends before. When the call ends before that, the
 * daemon is killed and waited for, so that no mount of it can land afterwards.
 */
export async function startDaemon(execution: Execution, call: CallContext, log: Logger): Promise<ChildProcess> {
  call.signal.throwIfAborted()
  const began = performance.now()
  const child = execute(execution)
  const ended = endOf(child)
  const said = relay(child, log)
  const outcome = await Promise.race([ready(child), ended, aborted(call.signal)])
  if (outcome === 'ready') return child
  if (outcome !== 'aborted') throw endedEarly(outcome, said)
  child.kill('SIGKILL')
  const buried = await Promise.race([ended.catch(() => undefined), aborted(call.cleanUp.signal)])
  const fate = buried === 'aborted' ? 'was killed but is still in the kernel' : 'was killed'
  const reason: unknown = call.signal.reason
  if (isCallEnded(reason) && reason.kind === 'cancelled') throw reason
  const time = ((performance.now() - began) / 1000).toFixed(1)
  throw new HostError('timeout', `dummy-fuse did not handle INIT within ${time} s and ${fate}`)
}

function execute({ file, args, argv0, detached, env }: Execution): ChildProcess {
  try {
    return spawn(file, args, { argv0, detached, stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env: { ...env, [READY_FD]: '3' } })
  } catch (error) {
    throw cannotStart(error)
  }
}

function cannotStart(error: unknown): HostError {
  const code = codeOf(error)
  const exhausted = errnoMeaning(code) === 'exhausted'
  const advice = code === 'EMFILE' ? '; raise the limit of open files (ulimit -n, LimitNOFILE=)' : ''
  return new HostError(exhausted ? 'exhausted' : 'unavailable', `cannot start dummy-fuse: ${messageOf(error)}${advice}`, {
    cause: error,
  })
}

/** All that is said before the daemon is ready is also the reason why it never was. */
function relay(child: ChildProcess, log: Logger): readonly string[] {
  const said: string[] = []
  // A child that could not be started has no streams.
  if (!child.stderr) return said
  createInterface({ input: child.stderr }).on('line', (line) => {
    const text = withoutTimestamp(line).replace(/^dummy-fuse: /, '')
    if (said.length < 20) said.push(text)
    log.info(`dummy-fuse[${child.pid ?? 0}]: ${text}`)
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

async function endOf(child: ChildProcess): Promise<End> {
  return await new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(cannotStart(error))
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

function endedEarly({ status, signal }: End, said: readonly string[]): HostError {
  if (signal !== null)
    return new HostError(
      'unavailable',
      `dummy-fuse was ended by ${signal} before its mount was ready${said.length > 0 ? `: ${said.join('; ')}` : ''}`,
    )
  const why = said.length === 0 ? `dummy-fuse ended with exit status ${status ?? 0} and said nothing` : said.join('; ')
  return new HostError(KINDS[status ?? 0] ?? 'unavailable', why)
}

/** What a daemon's exit status means for the call. All others, such as an executable that cannot be unpacked, may be cured. */
const KINDS: Readonly<Record<number, HostErrorKind>> = {
  [STATUS.usage]: 'failed',
  [STATUS.notADirectory]: 'precondition',
  [STATUS.notEmpty]: 'precondition',
  [STATUS.notRoot]: 'failed',
  [STATUS.initTimeout]: 'timeout',
  [STATUS.mountFailed]: 'failed',
  [STATUS.exhausted]: 'exhausted',
}
