import { setTimeout as sleep } from 'node:timers/promises'
import { STEP_DEADLINE } from '../wait.ts'

/** How one attempt to read a file ended. */
interface Attempt {
  /** `exited`: with an answer. */
  readonly kind: 'exited' | 'killed' | 'timeout'
  /** `right`, `wrong`, or what reading it said. */
  readonly saw: string
  readonly held: string
}

/** What a reading of a volume that was just published needs. Times in milliseconds. */
interface Reading {
  /** Since the volume was published. */
  readonly elapsed: () => number
  /** Reads the file, for so long at most. */
  readonly read: (deadline: number) => Promise<Attempt>
  /** Whether the volume is mounted for the pod. */
  readonly isMounted: () => boolean
  /** For how long consumers are watched. */
  readonly watch: number
}

/** Milliseconds between two attempts. */
const BACK_OFF = 250

/** Milliseconds that an attempt may take at least, and in which a file comes to read right once its volume was seen mounted. */
const LATE_READ = 5000

/** Reads until the file reads right, or until that is not to be expected any more. A read is given all the time that is left: a slow one would never end. */
export async function firstRead({ elapsed, read, isMounted, watch }: Reading): Promise<{ attempt: Attempt; afterMs: number }> {
  const lateMount = Math.max(STEP_DEADLINE, watch)
  let mountedAt: number | undefined
  for (;;) {
    const deadline = Math.round(Math.max(LATE_READ, lateMount - elapsed()))
    const attempt = await read(deadline)
    const afterMs = Math.round(elapsed())
    mountedAt = isMounted() ? (mountedAt ?? afterMs) : undefined
    const end = mountedAt === undefined ? lateMount : mountedAt + LATE_READ
    if (attempt.saw === 'right' || afterMs > end || attempt.kind !== 'exited') return { attempt, afterMs }
    await sleep(BACK_OFF)
  }
}
