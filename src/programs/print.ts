import { printable } from '../printable.ts'

/** Writes to standard output, what is unprintable as {@link printable} has it, and resolves when all of it has been taken: an exit would cut off what a pipe's reader has not made room for. */
export async function print(text: string): Promise<void> {
  await new Promise<void>((resolve) => {
    process.stdout.write(printable(text), () => {
      resolve()
    })
  })
}
