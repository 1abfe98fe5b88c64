import { writeSync } from 'node:fs'

/** Wakes every thread that polls an eventfd(2): from then on it is readable, until it is read. Throws Node's error. */
export function wake(eventfd: number): void {
  const one = Buffer.alloc(8)
  one.writeBigUInt64LE(1n)
  writeSync(eventfd, one)
}
