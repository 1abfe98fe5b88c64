import type { Scenario } from '../scenario.ts'
import { mountFailsUnnoticed } from './mount-fails-unnoticed.ts'
import { mountLandsLate } from './mount-lands-late.ts'
import { pluginRestart } from './plugin-restart.ts'
import { restoreMounts } from './restore-mounts.ts'
import { restoreMountsExitOnError } from './restore-mounts-exit-on-error.ts'

/** The three of the original project. */
export const DEMONSTRATIONS: readonly Scenario[] = [pluginRestart, restoreMounts, restoreMountsExitOnError]

/** blobfuse2 #1081 and #1079. */
export const BACKGROUND_MOUNTS: readonly Scenario[] = [mountFailsUnnoticed, mountLandsLate]

/** Every scenario, in the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [...DEMONSTRATIONS, ...BACKGROUND_MOUNTS]
