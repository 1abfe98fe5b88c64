import { closeSync } from 'node:fs'
import { codeOf } from '../../errors.ts'

/** Closes a descriptor, whatever that says. */
export function close(fd: number): void {
  try {
    closeSync(fd)
  } catch (error) {
    // FUSE tells of its death at close too, and the descriptor is gone all the same (close(2)).
    if (codeOf(error) === undefined) throw error
  }
}
