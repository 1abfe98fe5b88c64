import { codeOf } from '../errors.ts'
import { printable } from '../printable.ts'

/**
 * Writes to standard output, what is unprintable as {@link printable} has it, and resolves when all of it has been taken: an exit would cut off what a
 * pipe's reader has not made room for. A reader that has gone (EPIPE) wants no more. Rejects with Node's error.
 */
export async function print(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.once('error', (error: Error) => {
      if (codeOf(error) === 'EPIPE') resolve()
      else reject(error)
    })
    process.stdout.write(printable(text), (error) => {
      if (!error) resolve()
    })
  })
}
