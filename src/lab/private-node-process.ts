import { createInterface } from 'node:readline'
import { messageOf } from '../errors.ts'
import { ChildProgram } from '../os/processes/child-program.ts'
import { killAfter } from '../os/processes/kill-after.ts'
import type { Command } from './command.ts'
import type { Job } from './inside.ts'
import { onPrivateNode, privateEnvironment } from './namespaces.ts'
import type { Message } from './message.ts'

/** Milliseconds that one job may take; the slowest takes a few seconds. */
const JOB_DEADLINE = 120_000
/** Milliseconds that a node has to end by itself once its standard input is closed. */
const END_DEADLINE = 3000

/**
 * Has a job carried out on a private node by `inside`, and tells of each message. Resolves when the node is gone, with every process
 * and mount on it: to undefined, or to the reason for which the job was broken off. `signal` ends it early. `makeNode` makes
 * the command that runs another on a node (namespaces.ts). `more`: milliseconds that the job may take beside those that each may.
 */
export async function carryOutOnPrivateNode(
  job: Job,
  inside: Command,
  env: NodeJS.ProcessEnv,
  tell: (message: Message) => void,
  signal: AbortSignal,
  makeNode: (inner: Command) => Command = onPrivateNode,
  more = 0,
): Promise<string | undefined> {
  const { executable, args, argv0 } = makeNode(inside)
  // A session of its own keeps the terminal's Ctrl-C from all but the lab, which then ends the node as a whole.
  const child = new ChildProgram({ file: executable, args, argv0, stdio: 'pipe', detached: true, env: privateEnvironment(env) })
  let errors = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text))
  child.stdin?.on('error', () => undefined).write(`${JSON.stringify(job)}\n`)
  const seen: { ended: boolean; reasons: string[] } = { ended: false, reasons: [] }
  if (child.stdout !== undefined)
    createInterface(child.stdout).on('line', (line) => {
      const message = JSON.parse(line) as Message
      if (message.kind === 'end') seen.ended = true
      if (message.kind === 'broken off') seen.reasons.push(message.reason)
      tell(message)
    })

  const breakOff = (why: string): void => {
    seen.reasons.push(why)
    // Process 1 ends with the process whose standard input this is, and takes the node along; only then does unshare(1) end.
    child.stdin?.end()
    killAfter(child, END_DEADLINE, END_DEADLINE).catch(() => undefined)
  }
  const deadline = setTimeout(breakOff, JOB_DEADLINE + more, `it took more than ${(JOB_DEADLINE + more) / 1000} s`)
  const aborted = (): void => {
    breakOff('it was interrupted')
  }
  signal.addEventListener('abort', aborted)
  if (signal.aborted) aborted()
  try {
    await child.closed
  } catch (error) {
    return `cannot make a private node: ${messageOf(error)}`
  } finally {
    clearTimeout(deadline)
    signal.removeEventListener('abort', aborted)
  }
  if (seen.ended) return undefined
  return seen.reasons[0] ?? (errors.trim() || 'its process was killed')
}
