import { getAsset, isSea } from 'node:sea'
import { ProgramError } from '../errors.ts'
import { commandLine, parse } from './command-line.ts'
import { print } from './print.ts'
import type { Program } from './program.ts'

/** dummy-fuse-csi licenses: the notices that build.mjs has put into the executable. */
export const licenses: Program = async ({ args }) => {
  parse(commandLine('dummy-fuse-csi licenses', 'Prints the licence of each component of this executable.'), args)
  if (!isSea()) throw new ProgramError('only the executable holds the notices; build it (node build.mjs) and run that', 1)
  await print(getAsset('licenses.txt', 'utf8'))
  return 0
}
