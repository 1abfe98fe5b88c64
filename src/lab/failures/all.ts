import { allPodsReplaced } from './all-pods-replaced.ts'
import { connectionAborted } from './connection-aborted.ts'
import { daemonHung } from './daemon-hung.ts'
import { daemonKilled } from './daemon-killed.ts'
import { daemonReplaced } from './daemon-replaced.ts'
import { daemonUpgraded } from './daemon-upgraded.ts'
import type { Failure } from './failure.ts'
import { helperKilled } from './helper-killed.ts'
import { holderKilled } from './holder-killed.ts'
import { machineCrash } from './machine-crash.ts'
import { mountFails } from './mount-fails.ts'
import { mountLate } from './mount-late.ts'
import { outOfDescriptors } from './out-of-descriptors.ts'
import { pluginKilled } from './plugin-killed.ts'
import { pluginRestarted } from './plugin-restarted.ts'
import { pluginUpgraded } from './plugin-upgraded.ts'
import { podReplaced } from './pod-replaced.ts'
import { stagingUnmounted } from './staging-unmounted.ts'
import { storageDown } from './storage-down.ts'
import { storageHung } from './storage-hung.ts'
import { targetUnmounted } from './target-unmounted.ts'

/** Every failure that can strike our own plugin, in the order in which they are shown. */
export const FAILURES: readonly Failure[] = [
  pluginKilled,
  pluginRestarted,
  pluginUpgraded,
  daemonKilled,
  daemonUpgraded,
  daemonHung,
  daemonReplaced,
  mountFails,
  mountLate,
  stagingUnmounted,
  targetUnmounted,
  machineCrash,
  outOfDescriptors,
  connectionAborted,
  holderKilled,
  helperKilled,
]

/** Every failure that can strike a driver that is brought. */
export const DRIVER_FAILURES: readonly Failure[] = [...FAILURES, podReplaced, allPodsReplaced, storageHung, storageDown]
