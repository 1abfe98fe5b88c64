import type { Libc } from '../libc.ts'

/**
 * Makes process.exit() end the process by _exit(2), without Node's own shutdown of threads and heaps, which takes 50 ms. Work that must be done
 * before the end belongs before process.exit(), or into listeners of 'exit' that are prepended later.
 */
export function exitAtOnce(libc: Libc): void {
  process.prependOnceListener('exit', (status) => {
    libc.exit(status)
  })
}
