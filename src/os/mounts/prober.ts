import { type CallContext, timeToAnswer, unlessAborted } from '../../call-context.ts'
import { type Probe, probe as probeByStat } from './probe.ts'
import { ConcurrencyLimit } from '../processes/concurrency-limit.ts'
import { settledWithin } from '../processes/settled-within.ts'

/** The limits of a prober; times are milliseconds. */
export interface ProberLimits {
  /** Within which a mount answers statfs(2), or counts as hung. */
  readonly probe: number
  readonly probesAtOnce: number
  /** In which a healthy mount has answered. */
  readonly promptProbe: number
}

/**
 * Asks mounts for their state, each FUSE connection at most once at a time: callers that ask meanwhile get the same answer. While a process
 * that asked is stuck in the kernel, the connection is hung, and is not asked again.
 */
export class Prober {
  readonly #limits: ProberLimits
  readonly #probe: (path: string, deadline: number) => Promise<Probe>
  readonly #turns: ConcurrencyLimit
  readonly #inFlight = new Map<string, Promise<Probe>>()

  /** `probe`: asks a mount, within milliseconds. */
  constructor(limits: ProberLimits, probe: (path: string, deadline: number) => Promise<Probe> = probeByStat) {
    this.#limits = limits
    this.#probe = probe
    this.#turns = new ConcurrencyLimit(limits.probesAtOnce, limits.promptProbe)
  }

  /**
   * `device`: of the super block that is mounted at the path (`major:minor`). Resolves to `hung` when the mount counts as silent for the call. Rejects with the call's
   * reason when it ends before.
   */
  async ask(path: string, device: string, call: CallContext): Promise<Probe> {
    const asked = this.#inFlight.get(device) ?? this.#begin(path, device)
    const answer = await settledWithin(unlessAborted(asked, call.signal), timeToAnswer(call))
    return answer === 'late' ? { kind: 'hung', gone: asked.then(goneOf) } : answer
  }

  #begin(path: string, device: string): Promise<Probe> {
    const asked = this.#turns.take(() => this.#probe(path, this.#limits.probe))
    this.#inFlight.set(device, asked)
    const end = (): void => {
      this.#inFlight.delete(device)
    }
    asked.then(goneOf).then(end, end)
    return asked
  }
}

async function goneOf(answer: Probe): Promise<void> {
  if (answer.kind === 'hung') await answer.gone
}
