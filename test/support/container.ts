import { childrenOf } from './kept.ts'
import type { Result, Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** What makes a command, which follows it, process 1 of a container: with PID, network and mount namespaces of its own, and mounts that propagate both ways. */
export const NAMESPACES: readonly string[] = [
  'unshare',
  ...['--pid', '--net', '--mount', '--propagation', 'unchanged', '--fork', '--kill-child=KILL', '--'],
  ...['sh', '-c', 'mount -t proc proc /proc && exec "$@"', 'container'],
]

/** Process 1 of a container, by the process of the unshare(1) that made it; undefined as long as there is none. unshare(1) ends after it. */
export function processOneOf(unshare: number): number | undefined {
  return childrenOf(unshare)[0]
}

/** A program as process 1 of a container. */
export class Container {
  readonly #running: Running

  private constructor(running: Running) {
    this.#running = running
  }

  static start(sandbox: Sandbox, command: readonly string[]): Container {
    const [file = '', ...args] = [...NAMESPACES, ...command]
    return new Container(sandbox.start(file, args))
  }

  /** What its processes have written. */
  log(): string {
    return this.#running.output()
  }

  /** Waits for a line in {@link log}. */
  async logged(line: RegExp): Promise<void> {
    try {
      await eventually(`the container logs ${String(line)}`, () => line.test(this.log()))
    } catch (error) {
      throw new Error(this.log(), { cause: error })
    }
  }

  /** Sends a signal to process 1, as its runtime does; SIGKILL ends all that is in the container. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const init = await eventually('the container has a process 1', () => processOneOf(this.#running.pid))
    process.kill(init, signal)
  }

  /** Sends a signal that ends it, and resolves once nothing of it is left. */
  async end(signal: NodeJS.Signals): Promise<Result> {
    await this.signal(signal)
    return await this.ended()
  }

  /** Resolves once nothing of it is left. Throws if it goes on. */
  async ended(): Promise<Result> {
    const { child } = this.#running
    await eventually(`the container ends; it said: ${this.log()}`, () => child.exitCode !== null || child.signalCode !== null)
    return await this.#running.ended
  }
}
