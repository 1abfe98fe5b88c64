/**
 * Waits up to `time` milliseconds for a promise, for ever if it is Infinity. Resolves to `late` when it has not settled by then; else settles as the promise does. After a standstill the event loop runs its
 * timers first: what has come meanwhile, and settles the promise, still counts.
 */
export async function settledWithin<T>(promise: Promise<T>, time: number): Promise<T | 'late'> {
  if (time === Infinity) return await promise
  const { promise: late, resolve } = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => {
    setImmediate(resolve, 'late')
  }, time)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
