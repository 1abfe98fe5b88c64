import { accessSync, constants, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf, ProgramError } from '../../errors.ts'
import { absolute } from '../absolute.ts'

/** The absolute path of a file that is to be written at the end. Throws ProgramError if its folder cannot be written, or it is a folder itself: better now than after the run. */
export function writable(name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  const file = absolute(name)
  try {
    accessSync(dirname(file), constants.W_OK)
  } catch (error) {
    throw new ProgramError(`cannot write ${file}: ${messageOf(error)}`, 1)
  }
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new ProgramError(`cannot write ${file}: it is a folder; name a file`, 1)
  return file
}

/** Throws ProgramError that names the file. */
export function save(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new ProgramError(`cannot write ${file}: ${messageOf(error)}`, 1)
  }
}
