import type { Command, Programs } from './command.ts'
import type { Message } from './message.ts'
import { type Check, type LogLine, outcomeOf, type ScenarioRecord, type Step } from './scenario-record.ts'
import type { Scenario } from './scenario.ts'
import { carryOutOnPrivateNode } from './private-node-process.ts'

/** What the lab tries, and by what means. */
export interface LabOptions {
  /** The process that is to carry a job out on a private node (inside.ts). */
  readonly inside: Command
  readonly programs: Programs
  readonly env: NodeJS.ProcessEnv
}

/** Follows a run as it goes on. */
export interface Observer {
  begin(scenario: Scenario): void
  step(step: Step): void
  end(record: ScenarioRecord): void
}

/** Runs scenarios one after the other, each on a private node of its own. */
export class Lab {
  readonly #options: LabOptions

  constructor(options: LabOptions) {
    this.#options = options
  }

  /** `signal` breaks the present scenario off and leaves out the others; whatever happens, every node is gone at the end. */
  async run(scenarios: readonly Scenario[], observer: Observer, signal: AbortSignal): Promise<readonly ScenarioRecord[]> {
    const records: ScenarioRecord[] = []
    for (const scenario of scenarios) {
      if (signal.aborted) break
      observer.begin(scenario)
      const record = await this.#carryOut(scenario, observer, signal)
      records.push(record)
      observer.end(record)
    }
    return records
  }

  async #carryOut({ name, summary }: Scenario, observer: Observer, signal: AbortSignal): Promise<ScenarioRecord> {
    const { inside, programs, env } = this.#options
    const checks: Check[] = []
    const transcript: Step[] = []
    const logs: Record<string, LogLine[]> = {}
    const start = performance.now()
    const tell = (message: Message): void => {
      switch (message.kind) {
        case 'step':
          transcript.push(message.step)
          observer.step(message.step)
          break
        case 'line':
          ;(logs[message.process] ??= []).push(message.line)
          break
        case 'check':
          checks.push(message.check)
          break
        case 'namespace':
        case 'cell':
        case 'mount':
        case 'driver':
        case 'end':
        case 'broken off':
      }
    }
    const reason = await carryOutOnPrivateNode({ kind: 'scenario', scenario: name, programs }, inside, env, tell, signal)
    const durationMs = Math.round(performance.now() - start)
    const seen = { name, summary, durationMs, checks, transcript, logs }
    return reason === undefined ? { ...seen, outcome: outcomeOf(checks) } : { ...seen, outcome: 'broken off', reason }
  }
}
