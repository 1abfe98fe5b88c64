import type { MountSeen, MountTrial } from './seen.ts'

/** The outcome of one case. `not asked`: it needs a command that was not given. */
export interface Verdict {
  readonly name: string
  /** The issue of blobfuse2 that a finding is an example of. */
  readonly issue?: '#1079' | '#1081'
  readonly result: 'well' | 'finding' | 'not run' | 'not asked'
  /** What was seen, as a line for people. */
  readonly what: string
  readonly seen?: MountSeen
}

/** The commands that are tried. */
export interface MountCommands {
  /** One that mounts. */
  readonly words: readonly string[]
  /** One whose storage cannot be reached, and one with an option that is forbidden; undefined where none was given. */
  readonly unreachable: readonly string[] | undefined
  readonly forbidden: readonly string[] | undefined
}

/** One case: how it is tried, and how it is judged. */
export interface MountCase {
  readonly name: string
  /** Its command; undefined where none was given. */
  readonly words: readonly string[] | undefined
  readonly how: Pick<MountTrial, 'hidesDevice'> & { readonly injection?: string; readonly patience: number }
  readonly judge: (seen: MountSeen) => Judgement
}

type Judgement = Pick<Verdict, 'issue' | 'result' | 'what'>

/** The system calls by which a file system comes to its place, with libfuse and fusermount, or by the newer calls. */
const MOUNTING = 'mount,move_mount'

/** Seconds that a mount takes. */
const DELAYS = [0.1, 3, 7, 15] as const

/** All cases. The first tells whether the command mounts at all. `wait`: milliseconds that a command has beyond what delays it. */
export function casesOf({ words, unreachable, forbidden }: MountCommands, wait: number): readonly MountCase[] {
  const failing = (name: string, command: readonly string[] | undefined, how: Partial<MountCase['how']> = {}): MountCase => ({
    name,
    words: command,
    how: { hidesDevice: false, patience: wait, ...how },
    judge: (seen) => judgeFailure(seen, wait),
  })
  return [
    { name: 'mounts', words, how: { hidesDevice: false, patience: wait }, judge: (seen) => judgeMount(seen, wait) },
    ...DELAYS.map((delay): MountCase => ({
      name: `mount-takes-${delay}s`,
      words,
      how: { hidesDevice: false, injection: `${MOUNTING}:delay_enter=${delay * 1e6}:when=1`, patience: wait + delay * 1000 },
      judge: (seen) => judgeSlow(seen, wait + delay * 1000),
    })),
    failing('no-fuse-device', words, { hidesDevice: true }),
    failing('mount-refused', words, { injection: `${MOUNTING}:error=EPERM` }),
    failing('killed-before-init', words, { injection: `${MOUNTING}:signal=KILL:when=1` }),
    failing('unreachable-storage', unreachable),
    failing('forbidden-option', forbidden),
  ]
}

/** The verdict on the caller's descriptors, of the run that mounts. */
export function judgeDescriptors({ returned, holds }: MountSeen): Judgement {
  if (returned === undefined)
    return { result: 'well', what: 'it runs in the foreground, and has the descriptors of its caller as any child has' }
  if (holds.length === 0) return { result: 'well', what: 'what it leaves has no descriptor of its caller' }
  const hangs = holds.some((name) => name.startsWith('standard'))
  return {
    result: 'finding',
    what: `what it leaves keeps ${holds.join(' and ')} of its caller${hangs ? ': a caller that reads until the end of its output waits for as long as the mount is there' : ''}`,
  }
}

/** The verdict on messages, of all runs that failed as they should. */
export function judgeMessages(failed: readonly { readonly name: string; readonly seen: MountSeen }[]): Judgement {
  // What was killed cannot say why.
  const told = failed.filter(({ seen: { returned: { status = null } = {} } }) => status !== null && status !== 0)
  const silent = told.filter(({ seen: { output } }) => output.trim() === '').map(({ name }) => name)
  if (told.length === 0) return { result: 'not run', what: 'no run failed with a status' }
  return silent.length === 0
    ? { result: 'well', what: 'it says why, whenever it returns that it has failed' }
    : { result: 'finding', what: `it returns that it has failed and says nothing: ${silent.join(', ')}` }
}

function judgeMount({ returned, stoodAtReturn, stoodAfter, output }: MountSeen, patience: number): Judgement {
  const said = lastOf(output)
  if (stoodAfter === undefined) {
    const end =
      returned === undefined
        ? `it had not returned after ${seconds(patience)} (--wait)`
        : `it returned ${describe(returned)} after ${seconds(returned.after)}`
    const isUnnoticed = returned?.status === 0
    return { ...(isUnnoticed ? { issue: '#1081' } : {}), result: 'finding', what: `nothing was mounted: ${end}${said}` }
  }
  if (returned === undefined)
    return { result: 'well', what: `it serves in the foreground; the mount stood after ${seconds(stoodAfter)}` }
  if (returned.status !== 0)
    return {
      result: 'finding',
      what: `it returned ${describe(returned)}, although its mount stood after ${seconds(stoodAfter)}${said}`,
    }
  if (!stoodAtReturn) return early(returned.after, stoodAfter)
  return { result: 'well', what: `it returned 0 after ${seconds(returned.after)}, when its mount stood` }
}

function judgeSlow(seen: MountSeen, patience: number): Judgement {
  const { returned, stoodAfter, output } = seen
  if (returned === undefined || returned.status === 0) {
    if (stoodAfter !== undefined || returned !== undefined) return judgeMount(seen, patience)
    return { result: 'finding', what: `it neither mounted nor returned in ${seconds(patience)} (--wait)${lastOf(output)}` }
  }
  if (stoodAfter !== undefined)
    return {
      issue: '#1079',
      result: 'finding',
      what: `it returned ${describe(returned)} after ${seconds(returned.after)}, and its mount came all the same after ${seconds(stoodAfter)}`,
    }
  return {
    result: 'well',
    what: `it gave up after ${seconds(returned.after)}, returned ${describe(returned)}, and nothing was mounted later`,
  }
}

function judgeFailure({ returned, stoodAfter, output }: MountSeen, patience: number): Judgement {
  if (returned === undefined)
    return {
      result: 'finding',
      what:
        stoodAfter === undefined
          ? `it neither returned nor mounted in ${seconds(patience)} (--wait)${lastOf(output)}`
          : 'it mounted all the same',
    }
  if (stoodAfter !== undefined) return { result: 'finding', what: `it mounted all the same, after ${seconds(stoodAfter)}` }
  if (returned.status === 0)
    return {
      issue: '#1081',
      result: 'finding',
      what: `it returned 0 after ${seconds(returned.after)}, and nothing was mounted${lastOf(output)}`,
    }
  return { result: 'well', what: `it returned ${describe(returned)} after ${seconds(returned.after)}${lastOf(output)}` }
}

function early(after: number, stoodAfter: number): Judgement {
  return {
    issue: '#1079',
    result: 'finding',
    what: `it returned 0 after ${seconds(after)}, and its mount stood after ${seconds(stoodAfter)} only`,
  }
}

function describe({ status, signal }: NonNullable<MountSeen['returned']>): string {
  return signal ?? String(status)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function lastOf(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  return lines.length === 0 ? ', and said nothing' : `, and said: ${lines.slice(-3).join('; ')}`
}

/** Those that `only` names, and the first, which mounts; all of them if it is empty, or if it asks for messages and names no case that could have one. */
export function casesToRun<T extends Pick<MountCase, 'name'>>(cases: readonly T[], only: readonly string[]): readonly T[] {
  const isNamed = ({ name }: T): boolean => only.includes(name)
  const all = only.length === 0 || (only.includes('messages') && !cases.some((one) => one.name !== 'mounts' && isNamed(one)))
  return all ? cases : cases.filter((one) => one.name === 'mounts' || isNamed(one))
}
