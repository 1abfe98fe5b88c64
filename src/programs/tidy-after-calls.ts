import type { UnaryInterceptor } from '../grpc/service.ts'

/** When a program tidies up after calls; times are milliseconds. */
export interface TidyTimes {
  /** How long no call has begun or ended. */
  readonly quiet: number
  /** How long after the first call at the latest, for a program that is always called. */
  readonly latest: number
}

/**
 * An interceptor around another one that calls `tidy` after the start, and after calls: once they have stopped for a while, so that
 * none of them waits for it.
 */
export function tidyAfterCalls(inner: UnaryInterceptor, tidy: () => void, { quiet, latest }: TidyTimes): UnaryInterceptor {
  let armed = false
  let called = false
  const wait = (left: number): void => {
    called = false
    setTimeout(() => {
      if (called && left > quiet) {
        wait(left - quiet)
        return
      }
      armed = false
      tidy()
    }, quiet).unref()
  }
  const note = (): void => {
    called = true
    if (armed) return
    armed = true
    wait(latest)
  }
  note()
  return async (method, request, act) => {
    note()
    try {
      return await inner(method, request, act)
    } finally {
      note()
    }
  }
}
