import type { Socket } from 'node:net'
import { LineCutter } from '../../src/line-cutter.ts'
import { type DaemonWord, type Order, orderLine, parseWord, READY_FD, SPARE_ARGS } from '../../src/os/processes/daemon-channel.ts'
import { DUMMY_FUSE } from './paths.ts'
import type { Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** A dummy-fuse that was started as a plugin starts its spare, and the plugin's end of its channel. */
export class SpareProcess {
  readonly running: Running
  /** What it has said, but for `mounting`. */
  readonly words: (DaemonWord | undefined)[] = []
  readonly #channel: Socket

  constructor(sandbox: Sandbox, words = SPARE_ARGS, by: readonly string[] = []) {
    const [file = DUMMY_FUSE, ...args] = [...by, DUMMY_FUSE, ...words]
    const options = { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] as const, env: { ...process.env, [READY_FD]: '3' } }
    this.running = sandbox.start(file, args, { ...options, stdio: [...options.stdio] })
    const lines = new LineCutter()
    this.#channel = this.running.child.stdio[3] as Socket
    this.#channel.setEncoding('utf8').on('data', (text: string) => {
      this.words.push(
        ...lines
          .push(text)
          .map(parseWord)
          .filter((word) => word !== 'mounting'),
      )
    })
    this.#channel.on('error', () => undefined)
  }

  get pid(): number {
    return this.running.pid
  }

  /** Waits until it has said as many words as `count`, and returns the last one of them. */
  async word(count: number): Promise<DaemonWord | undefined> {
    await eventually(`word ${count}; it wrote: ${this.running.output()}`, () => this.words.length >= count)
    return this.words[count - 1]
  }

  order(order: Order): void {
    this.#channel.write(orderLine(order))
  }

  /** Has it serve, and waits until it does. */
  async serve(words: readonly string[]): Promise<void> {
    this.order({ do: 'serve', words })
    const word = await this.word(this.words.length + 1)
    if (word !== 'ready') throw new Error(`the spare says ${word ?? 'something else'} in place of ready`)
  }

  /** Closes the plugin's end. */
  hangUp(): void {
    this.#channel.destroy()
  }
}
