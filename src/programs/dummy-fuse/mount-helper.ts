import { UsageError } from '../../errors.ts'
import type { Program } from '../program.ts'
import { parseFuseOptions } from './options.ts'
import { dummyFuse } from './program.ts'

/** What mount(8) asks of a helper. */
interface HelperCall {
  /** The arguments of dummy-fuse that mean the same. */
  readonly args: readonly string[]
  /** mount --fake: nothing is to be mounted. */
  readonly fake: boolean
}

const FORM = 'mount.fuse.dummy-fuse SOURCE DIRECTORY [-sfnv] [-o OPTIONS] [-t TYPE]'

/**
 * mount.fuse.dummy-fuse: what mount(8) and /etc/fstab call for the type fuse.dummy-fuse (mount(8), section "EXTERNAL HELPERS"). It mounts as
 * mount.fuse3(8) has dummy-fuse mount: with `dev` and `suid` unless the options say otherwise.
 */
export const mountHelper: Program = async (context) => {
  const { args, fake } = readHelperCall(context.args)
  if (!fake) return await dummyFuse({ ...context, args })
  parseFuseOptions(args)
  return 0
}

/** Throws UsageError. */
export function readHelperCall(args: readonly string[]): HelperCall {
  const [source, directory, ...rest] = args
  if (source === undefined || directory === undefined || directory.startsWith('-'))
    throw new UsageError(`mount(8) calls it as ${FORM}; to mount by hand, run dummy-fuse DIRECTORY`)
  const options: string[] = []
  let fake = false
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '-o') options.push(...valueOf(word, rest).split(/(?<!\\),/))
    else if (word === '-t') checkType(valueOf(word, rest))
    else if (word === '-N')
      throw new UsageError(`-N ${valueOf(word, rest)} is not obeyed; run nsenter --mount=FILE mount ... in its place`)
    else if (/^-[sfnvrw]+$/.test(word)) {
      fake ||= word.includes('f')
      if (word.includes('r')) options.push('ro')
      if (word.includes('w')) options.push('rw')
    }
    // The fields of a line of /etc/fstab for dump(8) and fsck(8) say nothing to a mount.
    else if (!/^\d+$/.test(word)) throw new UsageError(`unknown argument '${word}'; mount(8) calls it as ${FORM}`)
  }
  if (!options.includes('nodev')) options.push('dev')
  if (!options.includes('nosuid')) options.push('suid')
  return { args: ['-o', options.join(','), ...(source === '' ? [] : [source]), directory], fake }
}

function valueOf(word: string, rest: string[]): string {
  const value = rest.shift()
  if (value === undefined) throw new UsageError(`${word} needs a value; mount(8) calls it as ${FORM}`)
  return value
}

function checkType(type: string): void {
  if (!['fuse.dummy-fuse', 'dummy-fuse'].includes(type))
    throw new UsageError(`-t ${type} is not fuse.dummy-fuse, the type that this helper mounts`)
}
