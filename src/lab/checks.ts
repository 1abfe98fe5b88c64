import type { Check } from './scenario-record.ts'
import { STEP_DEADLINE, until } from './wait.ts'

/** What the scenario sees, put beside what the model says. A check that fails does not end the scenario. */
export class Checks {
  readonly #onCheck: (check: Check) => void

  constructor(onCheck: (check: Check) => void) {
    this.#onCheck = onCheck
  }

  /** What was seen is just this text, or has a match of this pattern. `meaning` stands for a pattern in the output. */
  see(name: string, seen: string, expected: string | RegExp, meaning = String(expected)): void {
    const passed = typeof expected === 'string' ? seen === expected : expected.test(seen)
    this.#onCheck({ name, expected: meaning, seen, passed })
  }

  /** Looks until it sees what is expected; after `deadline` milliseconds the last look counts. */
  async comeToSee(
    name: string,
    look: () => string | Promise<string>,
    expected: RegExp,
    meaning: string,
    deadline = STEP_DEADLINE,
  ): Promise<void> {
    let seen = ''
    const passed = await until(
      name,
      async () => {
        seen = await look()
        return expected.test(seen)
      },
      deadline,
    ).catch(() => false)
    this.#onCheck({ name, expected: meaning, seen, passed })
  }
}
