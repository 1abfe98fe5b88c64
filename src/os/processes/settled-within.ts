/** Waits up to `time` milliseconds for a promise. Resolves to `late` when it has not settled by then; else settles as the promise does. */
export async function settledWithin<T>(promise: Promise<T>, time: number): Promise<T | 'late'> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>()
  const timer = setTimeout(resolve, time, 'late')
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
