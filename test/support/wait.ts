import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until `condition` gives something truthy and returns it; throws after `deadline` milliseconds, naming `what`. */
export async function eventually<T>(what: string, condition: () => T | Promise<T>, deadline = 30_000): Promise<NonNullable<T>> {
  const end = performance.now() + deadline
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > end) throw new Error(`after ${deadline} ms still not: ${what}`)
    await sleep(20)
  }
}
