import { messageOf, ProgramError } from '../../errors.ts'
import { type Order, SPARE_NAME, SPARE_ARGS } from '../../os/processes/daemon-channel.ts'
import type { Libc } from '../../os/libc.ts'
import { setProcessName } from '../../os/processes/process-name.ts'
import { ShownArguments } from '../../os/processes/shown-arguments.ts'
import type { SelfCommand } from '../program.ts'
import type { StarterChannel } from './channel.ts'
import { serve, type Served } from './daemon.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { DUMMY_FUSE_LIMITS } from './limits.ts'
import { parseFuseOptions } from './options.ts'
import { EndSignals } from './signals.ts'

/** As ps shows a daemon that serves. */
const NAME = 'dummy-fuse'

/** What an idle daemon needs from outside. */
export interface SpareContext {
  readonly libc: Libc
  readonly channel: StarterChannel
  /** How this program is started with other arguments. */
  readonly self: (args: readonly string[]) => SelfCommand
}

/** Whether dummy-fuse's arguments ask for a spare. */
export function isSpareRequest(args: readonly string[]): boolean {
  return args.length === SPARE_ARGS.length && args.every((word, index) => word === SPARE_ARGS[index])
}

/**
 * A dummy-fuse that takes one order after another from the plugin that started it, and serves each as if it had been started with the order's arguments. It
 * ends with its plugin, unless it serves what is to outlive that. Resolves to the exit status. Throws ProgramError as {@link serve} does.
 */
export class Spare {
  readonly #context: SpareContext
  readonly #arguments: ShownArguments

  constructor(context: SpareContext) {
    this.#context = context
    this.#arguments = new ShownArguments(context.libc)
  }

  /** Waits for the first order for as long as it takes. Throws ProgramError where the kernel does not let it show the arguments of an order. */
  async begin(): Promise<number> {
    try {
      this.#retreat()
    } catch (error) {
      throw new ProgramError(`no spare is possible here: ${messageOf(error)}`, STATUS.failed, { cause: error })
    }
    // What an order would have to wait for.
    await import('./backends.ts')
    return await this.#carryOut(await this.#order())
  }

  /** Goes on after a mount that was served. */
  async goOn(served: Served): Promise<number> {
    return this.#isFree(served) ? await this.#carryOut(await this.#order(DUMMY_FUSE_LIMITS.nextOrder)) : served.status
  }

  async #carryOut(first: Order): Promise<number> {
    let order = first
    while (order.do === 'serve') {
      const served = await this.#serve(order.words)
      if (!this.#isFree(served)) return served.status
      order = await this.#order(DUMMY_FUSE_LIMITS.nextOrder)
    }
    return STATUS.ok
  }

  async #serve(args: readonly string[]): Promise<Served> {
    const { libc, channel } = this.#context
    const options = parseFuseOptions(args)
    this.#show(args)
    setProcessName(NAME)
    if (!options.dieWithParent) libc.setParentDeathSignal(undefined)
    return await serve(options, { libc: () => libc, channel })
  }

  /** Whether it can take another order, which it is ready for then. */
  #isFree({ clean }: Served): boolean {
    if (!clean || !this.#context.channel.open) return false
    try {
      this.#retreat()
      return true
    } catch {
      // Its arguments would go on naming a path that it does not serve.
      return false
    }
  }

  /** Becomes what it was before its order. */
  #retreat(): void {
    this.#context.libc.setParentDeathSignal('SIGKILL')
    this.#show(SPARE_ARGS)
    setProcessName(SPARE_NAME)
  }

  /** Says that it is idle, and waits for an order to serve or to end: if the plugin says nothing within `deadline` milliseconds, it is to end. */
  async #order(deadline?: number): Promise<Order> {
    const { channel } = this.#context
    using signals = new EndSignals(true)
    const { promise: late, resolve } = Promise.withResolvers<Order>()
    const timer = deadline === undefined ? undefined : setTimeout(resolve, deadline, { do: 'end' })
    const stop = signals.stopSignal.then((): Order => ({ do: 'end' }))
    await channel.say('idle')
    let order = await Promise.race([channel.order(), stop, late])
    clearTimeout(timer)
    while (order.do === 'wait') order = await Promise.race([channel.order(), stop])
    return order
  }

  #show(own: readonly string[]): void {
    const { argv0, args, executable } = this.#context.self(own)
    // A program that is run by an interpreter has that as its argv[0].
    this.#arguments.show([argv0 === '' ? executable : argv0, ...args])
  }
}
