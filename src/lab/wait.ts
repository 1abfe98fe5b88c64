import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds that the slowest step may take on a loaded machine before the lab gives up on it. */
export const STEP_DEADLINE = 15_000

/** Looks every `interval` ms until `condition` gives something truthy, which it returns; after `deadline` ms throws an Error naming `what`. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  deadline = STEP_DEADLINE,
  interval = 20,
): Promise<NonNullable<T>> {
  const end = performance.now() + deadline
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > end) throw new Error(`waited ${deadline / 1000} s in vain: ${what}`)
    await sleep(interval)
  }
}

/** Waits for a promise; after `deadline` ms throws an Error naming `what`. */
export async function within<T>(what: string, promise: Promise<T>, deadline = STEP_DEADLINE): Promise<T> {
  const timer = new AbortController()
  const late = sleep(deadline, undefined, { signal: timer.signal }).then(
    () => Promise.reject<T>(new Error(`waited ${deadline / 1000} s in vain: ${what}`)),
    () => promise,
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
  }
}
