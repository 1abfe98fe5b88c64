import { createInterface } from 'node:readline'
import { type CallContext, isCallEnded } from '../call-context.ts'
import { codeOf, errnoMeaning, messageOf, withRemedy } from '../errors.ts'
import { type Logger, withoutTimestamp } from '../log.ts'
import { ChildProgram, type ProcessEnd } from '../os/processes/child-program.ts'
import { LineCutter } from '../line-cutter.ts'
import { type DaemonWord, type Order, orderLine, parseWord, READY_FD } from '../os/processes/daemon-channel.ts'
import { STATUS } from '../os/processes/exit-status.ts'
import type { Killable } from '../os/processes/kill-after.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { HostError, type HostErrorKind } from './host.ts'

/** The command of a daemon. `argv0` is its name. */
export interface Execution {
  readonly file: string
  readonly args: readonly string[]
  readonly argv0: string
  /** In a session, and so a process group, of its own. */
  readonly detached: boolean
  readonly env: NodeJS.ProcessEnv
  /** The same without a scope of systemd's, where this has one. */
  readonly plain?: Execution
}

/** A program that reports when it is ready. */
export interface StartedProgram {
  /** What it is called in messages. */
  readonly name: string
  /** What it has not done when it is killed, after its name: `did not handle INIT`. */
  readonly missed: string
  /** What ended too early, after `before`: `its mount was ready`. */
  readonly goal: string
  /** What each exit status means for the call. For a status that is not named, another call may help. */
  readonly kinds: Readonly<Record<number, HostErrorKind>>
}

/** The state of a daemon: `starting` until its first message, `serving` from its arguments until its mount is gone. */
type Phase = 'starting' | 'serving' | 'idle' | 'ended'

/**
 * A daemon that we have started, and our end of its channel. It stays in the foreground. Its standard error goes to our log for as long as both live.
 */
export class DaemonProcess implements Killable {
  readonly #child: ChildProgram
  readonly #log: Logger
  readonly #program: StartedProgram
  readonly #closed: Promise<ProcessEnd>
  #phase: Phase
  /** The first lines of its output since it got its arguments. */
  #said: string[] = []
  readonly #listeners: (() => void)[] = []
  #announced = Promise.withResolvers<'ready'>()
  #onMounting = (): void => undefined
  readonly #spare: boolean
  #takesOrders = false
  #spoke = false
  #startFailure: HostError | undefined

  /** Starts it: `serving` what the execution's arguments say, or `starting` as a spare. */
  constructor(execution: Execution, phase: 'serving' | 'starting', log: Logger, program = DUMMY_FUSE) {
    this.#phase = phase
    this.#spare = phase === 'starting'
    this.#log = log
    this.#program = program
    const { file, args, argv0, detached, env } = execution
    this.#child = new ChildProgram({
      file,
      args,
      argv0,
      detached,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...env, [READY_FD]: '3' },
    })
    this.#closed = this.#child.closed.catch((error: unknown) => {
      throw cannotStart(error, program)
    })
    this.#closed.catch(() => undefined)
    this.#child.ended.then(
      () => {
        this.#enter('ended')
      },
      (error: unknown) => {
        this.#startFailure = cannotStart(error, program)
        this.#enter('ended')
      },
    )
    this.#child.unref()
    this.#relay()
    const lines = new LineCutter()
    this.#child.channel?.on('data', (chunk: Buffer) => {
      for (const line of lines.push(chunk)) this.#hear(parseWord(line))
    })
    // The daemon's exit status says more than the error of its channel.
    this.#child.channel?.on('error', () => undefined).unref()
  }

  get pid(): number {
    return this.#child.pid
  }

  /** Whether it serves nothing and takes an order. */
  get idle(): boolean {
    return this.#phase === 'idle'
  }

  /** Whether it has ended, or could not be started. */
  get over(): boolean {
    return this.#phase === 'ended'
  }

  /** How it ended; undefined while it runs, and if it could not be started. */
  get end(): ProcessEnd | undefined {
    return this.#child.end
  }

  /** Why it could not be started. */
  get startFailure(): HostError | undefined {
    return this.#startFailure
  }

  /** Calls `listener` once, when it can do no more harm: it is {@link over}, or idle, and has closed the device of what it served. */
  onceFree(listener: () => void): void {
    if (this.idle || this.over) listener()
    else this.#listeners.push(listener)
  }

  /** Whether it has ever reported that it is idle. */
  get takesOrders(): boolean {
    return this.#takesOrders
  }

  /** Whether it has sent a message on its channel: then the process is the daemon itself, and not a program that executes it. */
  get spoke(): boolean {
    return this.#spoke
  }

  /** Has an idle spare mount and serve with these arguments of dummy-fuse. {@link ready} gives the outcome. */
  serve(args: readonly string[]): void {
    this.#said = []
    this.#enter('serving')
    this.#order({ do: 'serve', words: args })
  }

  /** Has an idle one wait for its next order. */
  wait(): void {
    this.#order({ do: 'wait' })
  }

  /** Has an idle one end. */
  dismiss(): void {
    this.#order({ do: 'end' })
  }

  kill(): void {
    this.#child.kill()
  }

  /** Waits up to `time` milliseconds until it can do no more harm, as {@link onceFree} tells. */
  async endsWithin(time: number): Promise<boolean> {
    const freed = new Promise<void>((resolve) => {
      this.onceFree(resolve)
    })
    return (await settledWithin(freed, time)) !== 'late'
  }

  /**
   * Resolves to `ready` when the daemon reports it, or to the way in which it ended before. If the call ends first, the daemon is killed and waited
   * for, so that no mount of it appears later. Rejects with HostError, or the reason of the call's signal. `onMounting` is called when the daemon has
   * started and waits for its storage.
   */
  async ready(call: CallContext, onMounting: () => void = () => undefined): Promise<'ready' | ProcessEnd> {
    const began = performance.now()
    this.#onMounting = onMounting
    const outcome = await Promise.race([this.#announced.promise, this.#closed, aborted(call.signal)])
    this.#announced = Promise.withResolvers<'ready'>()
    if (outcome !== 'aborted') return outcome
    this.kill()
    const ended = await Promise.race([this.#closed.catch(() => undefined), aborted(call.cleanUp.signal)])
    const fate = ended === 'aborted' ? 'was killed but is still in the kernel' : 'was killed'
    const reason: unknown = call.signal.reason
    if (isCallEnded(reason) && reason.kind === 'cancelled') throw reason
    const time = ((performance.now() - began) / 1000).toFixed(1)
    throw new HostError('timeout', `${this.#program.name} ${this.#program.missed} within ${time} s and ${fate}`)
  }

  /** Why it ended before it was ready: its output is the reason. */
  failure(end: ProcessEnd): HostError {
    return endedEarly(end, this.#program, this.#said)
  }

  #hear(word: DaemonWord | undefined): void {
    this.#spoke = true
    if (word === 'ready') this.#announced.resolve('ready')
    else if (word === 'mounting') this.#onMounting()
    else if (word === 'idle') {
      const first = !this.#takesOrders && this.#phase === 'serving' && this.#spare
      this.#takesOrders = true
      // A spare that has got its arguments before it was idle still reports that it is idle.
      if (!first) this.#enter('idle')
    }
  }

  #enter(phase: Phase): void {
    if (this.#phase === 'ended') return
    this.#phase = phase
    if (this.idle || this.over) for (const listener of this.#listeners.splice(0)) listener()
  }

  #order(order: Order): void {
    this.#child.channel?.write(orderLine(order))
  }

  #relay(): void {
    const { stderr } = this.#child
    if (stderr === undefined) return
    createInterface({ input: stderr }).on('line', (line) => {
      const { name } = this.#program
      const stamped = withoutTimestamp(line)
      const text = stamped.startsWith(`${name}: `) ? stamped.slice(name.length + 2) : stamped
      if (this.#said.length < 20) this.#said.push(text)
      this.#log.info(`${name}[${this.pid}]: ${text}`)
    })
  }
}

/** A program that could not be started, for want of a resource or for another reason. */
export function cannotStart(error: unknown, { name }: Pick<StartedProgram, 'name'>): HostError {
  const code = codeOf(error)
  const exhausted = errnoMeaning(code) === 'exhausted'
  const message = withRemedy(`cannot start ${name}: ${messageOf(error)}`, error)
  return new HostError(exhausted ? 'exhausted' : 'unavailable', message, { cause: error })
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

function endedEarly({ status, signal }: ProcessEnd, { name, goal, kinds }: StartedProgram, said: readonly string[]): HostError {
  if (signal !== null)
    return new HostError(
      'unavailable',
      `${name} was ended by ${signal} before ${goal}${said.length > 0 ? `: ${said.join('; ')}` : ''}`,
    )
  const why = said.length === 0 ? `${name} ended with exit status ${status ?? 0} and said nothing` : said.join('; ')
  return new HostError(kinds[status ?? 0] ?? 'unavailable', why)
}

/** A dummy-fuse of one volume. */
export const DUMMY_FUSE: StartedProgram = {
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
