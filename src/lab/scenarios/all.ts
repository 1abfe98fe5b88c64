import type { Scenario } from '../scenario.ts'
import { pluginRestart } from './plugin-restart.ts'
import { restoreMounts } from './restore-mounts.ts'
import { restoreMountsExitOnError } from './restore-mounts-exit-on-error.ts'

/** The seed's three. */
export const DEMONSTRATIONS: readonly Scenario[] = [pluginRestart, restoreMounts, restoreMountsExitOnError]

/** Every scenario, in the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [...DEMONSTRATIONS]
