import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Logger, withoutTimestamp } from '../log.ts'
import { READY, READY_FD } from '../os/ready-word.ts'
import { HostError } from './host.ts'

/** How a daemon is to be executed. `argv0` is the name it goes by. */
export interface Execution {
  readonly file: string
  readonly args: readonly string[]
  readonly argv0: string
  /** In a session, and so a process group, of its own. */
  readonly detached: boolean
  readonly env: NodeJS.ProcessEnv
}

/** Milliseconds that the kernel may take to bury a daemon that was sent SIGKILL. */
const BURIAL = 1000

/**
 * Starts a dummy-fuse that stays in the foreground and resolves to it when it has handled INIT. Its standard error goes to our log
 * for as long as both live. Rejects with HostError, the daemon's own last line in it, when it ends before; past `deadline`
 * milliseconds it is killed first, and waited for, so that no mount of it can land afterwards.
 */
export async function startDaemon(execution: Execution, deadline: number, log: Logger): Promise<ChildProcess> {
  const { file, args, argv0, detached } = execution
  const env = { ...execution.env, [READY_FD]: '3' }
  const child = spawn(file, args, { argv0, detached, stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env })
  const said = relay(child, log)
  const outcome = await Promise.race([ready(child), ended(child), expired(deadline)])
  if (outcome === 'ready') return child
  if (outcome === 'expired') {
    child.kill('SIGKILL')
    const buried = await Promise.race([ended(child), expired(BURIAL)])
    const fate = buried === 'expired' ? 'was killed but is still in the kernel' : 'was killed'
    throw new HostError('timeout', `dummy-fuse did not handle INIT within ${deadline / 1000} s and ${fate}`)
  }
  throw new HostError('failed', said.length === 0 ? `dummy-fuse ended ${outcome.how} without a word` : said.join('; '))
}

/** All that is said before the daemon is ready is also the reason why it never was. */
function relay(child: ChildProcess, log: Logger): readonly string[] {
  const said: string[] = []
  if (child.stderr === null) return said
  createInterface({ input: child.stderr }).on('line', (line) => {
    const text = withoutTimestamp(line).replace(/^dummy-fuse: /, '')
    if (said.length < 20) said.push(text)
    log.info(`dummy-fuse[${child.pid ?? 0}]: ${text}`)
  })
  return said
}

async function ready(child: ChildProcess): Promise<'ready'> {
  const channel = child.stdio[3]
  return await new Promise((resolve) => {
    if (channel === null || channel === undefined || !('resume' in channel)) return
    let text = ''
    channel.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text === READY) resolve('ready')
    })
  })
}

async function ended(child: ChildProcess): Promise<{ how: string }> {
  return await new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new HostError('failed', `cannot start dummy-fuse: ${error.message}`, { cause: error }))
    })
    // 'close' comes after the last line of standard error, unlike 'exit'.
    child.once('close', (status, signal) => {
      resolve({ how: signal === null ? `with exit status ${status ?? 0}` : `by ${signal}` })
    })
    if (child.exitCode !== null || child.signalCode !== null) resolve({ how: 'already' })
  })
}

async function expired(deadline: number): Promise<'expired'> {
  return await new Promise((resolve) => {
    setTimeout(resolve, deadline, 'expired' as const).unref()
  })
}
