import { setTimeout as sleep } from 'node:timers/promises'
import { heldName } from '../../holder/held-name.ts'
import { promised } from '../../holder/holder-link.ts'
import type { Logger } from '../../log.ts'
import type { Libc } from '../../os/libc.ts'

/** The dependencies of {@link handSessionsOver}. */
interface HandoverParts {
  readonly libc: Libc
  /** Where the holder listens. */
  readonly socket: string
  /** Milliseconds. */
  readonly limits: {
    /** In which the holder has to have promised everything. */
    readonly handover: number
    /** In which it answers. */
    readonly holderPatience: number
    /** Between two attempts. */
    readonly handoverPause: number
  }
  readonly log: Logger
}

/**
 * Has a holder promise to keep the sessions of shields at these paths, which end with this container. A holder that is being replaced is waited for, while the shields go on. Resolves when
 * it has promised all, or it is logged which it has not. Never rejects.
 */
export async function handSessionsOver({ libc, socket, limits, log }: HandoverParts, paths: readonly string[]): Promise<void> {
  const end = performance.now() + limits.handover
  let left = paths
  for (;;) {
    const kept = await Promise.all(
      left.map(async (path) => await promised({ libc, socket, name: heldName(path), patience: limits.holderPatience })),
    )
    left = left.filter((_, index) => kept[index] === false)
    if (left.length === 0) break
    if (performance.now() > end) {
      log.error(
        `the holder on ${socket} has not promised to keep ${left.join(', ')} within ${limits.handover / 1000} s: their consumers get ENOTCONN`,
      )
      return
    }
    await sleep(limits.handoverPause)
  }
  if (paths.length > 0) log.info(`the holder keeps ${paths.length} sessions until the next plugin is there`)
}
