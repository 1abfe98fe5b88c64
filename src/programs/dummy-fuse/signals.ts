const ENDING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** The signals that tell a daemon to end, for as long as it is not disposed of. */
export class EndSignals implements Disposable {
  /** Resolves to the first one that comes. */
  readonly stopSignal: Promise<NodeJS.Signals>
  readonly #listener: (signal: NodeJS.Signals) => void

  /** `dieWithParent`: a daemon that its parent takes along leaves the terminal's Ctrl-C to that parent. */
  constructor(dieWithParent: boolean) {
    const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>()
    this.stopSignal = promise
    this.#listener = (signal) => {
      if (signal === 'SIGTERM' || !dieWithParent) resolve(signal)
    }
    for (const signal of ENDING) process.on(signal, this.#listener)
  }

  [Symbol.dispose](): void {
    for (const signal of ENDING) process.off(signal, this.#listener)
  }
}
