import { health } from './health.ts'
import { hostToContainer } from './host-to-container.ts'
import { keep } from './keep.ts'
import type { Mitigation } from './mitigation.ts'
import { none } from './none.ts'
import { restore } from './restore.ts'
import { restoreExit } from './restore-exit.ts'
import { separate } from './separate.ts'
import { separateShared } from './separate-shared.ts'
import { service } from './service.ts'
import { shared } from './shared.ts'
import { syncInit } from './sync-init.ts'
import { waitingParent } from './waiting-parent.ts'

/** Every mitigation, in the order in which they are shown. */
export const MITIGATIONS: readonly Mitigation[] = [
  none,
  restore,
  restoreExit,
  hostToContainer,
  health,
  separate,
  shared,
  separateShared,
  waitingParent,
  syncInit,
  service,
  keep,
]
