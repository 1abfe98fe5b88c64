import type { Libc } from '../libc.ts'

/**
 * Has process.exit() end the process by _exit(2), without taking its threads and heaps apart first, as Node would: somebody waits for its end.
 * What is to be done before must be done by then, or by listeners of 'exit' that are prepended later.
 */
export function exitAtOnce(libc: Libc): void {
  process.prependOnceListener('exit', (status) => {
    libc.exit(status)
  })
}
