import { run } from '../os/processes/run.ts'
import { SHELL } from './namespaces.ts'
import type { Pod } from './pod.ts'
import type { Transcript } from './transcript.ts'

/** Milliseconds for a command, after which its file system counts as hung. */
const COMMAND_DEADLINE = 10_000

/** What a command printed on both its streams, and its exit status; -1 if it had to be killed. */
export interface Answer {
  readonly output: string
  readonly status: number
}

/** Runs commands where the reader of the transcript can follow them. */
export class Shell {
  readonly #transcript: Transcript

  constructor(transcript: Transcript) {
    this.#transcript = transcript
  }

  /** On the node itself. */
  async onNode(command: string): Promise<Answer> {
    return this.#show('node', command, await runShell([], command))
  }

  /** On the node, without a step in the transcript: to wait for something. */
  async quietly(command: string): Promise<Answer> {
    return await runShell([], command)
  }

  /** In a pod's mount namespace, as `kubectl exec` does. The pod's container must be running. */
  async inPod(pod: Pod, command: string): Promise<Answer> {
    const { container } = pod
    if (container?.running !== true) throw new Error(`${pod.name} has no running container`)
    return this.#show(pod.name, command, await runShell(['nsenter', '--target', String(container.pid), '--mount', '--'], command))
  }

  #show(where: string, command: string, answer: Answer): Answer {
    this.#transcript.command(where, command, answer.output, answer.status)
    return answer
  }
}

/**
 * Runs a command in a shell, in the time zone of a container, which is UTC as in any image. `prefix`: a command that runs another, such as
 * nsenter(1).
 */
export async function runShell(prefix: readonly string[], command: string): Promise<Answer> {
  const [file, ...args] = [...prefix, 'env', 'TZ=UTC', ...SHELL, `exec 2>&1\n${command}`]
  const { status, stdout, stderr } = await run(file, args, COMMAND_DEADLINE)
  return { output: (stdout + stderr).trimEnd(), status }
}
