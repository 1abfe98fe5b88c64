import { UsageError } from '../../errors.ts'

/** How a FUSE program is called. */
export interface Habits {
  /** Whether a call is to mount, as far as its words tell. */
  readonly mounts: (words: readonly string[]) => boolean
  /** Whether a call is to stay in the foreground. */
  readonly stays: (words: readonly string[]) => boolean
  /** The words of the same call that stays in the foreground. */
  readonly staying: (words: readonly string[]) => readonly string[]
}

/** The option of rclone that has it go to the background, which all others do without one. */
const RCLONE_DETACHES = ['--daemon', '--daemon=true']
const RCLONE_MOUNTS = ['mount', 'mount2', 'cmount']

/** What gocryptfs does instead of mounting; Go takes one dash and two. */
const GOCRYPTFS_OTHER = /^--?(init|passwd|info|fsck|speed|version|help|h|hh)$/

/** By the program's name. */
const KNOWN: Readonly<Record<string, Habits>> = {
  bindfs: goesAwayUnless(['-f'], '-d'),
  'ceph-fuse': goesAwayUnless(['-f'], '-d'),
  'fuse-overlayfs': goesAwayUnless(['-f'], '-d', '--debug'),
  gocryptfs: {
    ...goesAwayUnless(['-fg'], '--fg', '-f', '--f'),
    mounts: (words) => !words.some((word) => GOCRYPTFS_OTHER.test(word)),
  },
  mergerfs: goesAwayUnless(['-f'], '-d'),
  rclone: {
    mounts: (words) => words.some((word) => RCLONE_MOUNTS.includes(word)),
    stays: (words) => !words.some((word) => RCLONE_DETACHES.includes(word)),
    staying: (words) => words.filter((word) => !RCLONE_DETACHES.includes(word)),
  },
  s3fs: goesAwayUnless(['-f']),
  squashfuse: goesAwayUnless(['-f'], '-d'),
  squashfuse_ll: goesAwayUnless(['-f'], '-d'),
  sshfs: goesAwayUnless(['-f'], '-d'),
  unionfs: goesAwayUnless(['-f'], '-d'),
  'unionfs-fuse': goesAwayUnless(['-f'], '-d'),
}

/** The variable that tells of a program that is not known: the words by which it stays in the foreground; empty for one that always does. */
const FOREGROUND = 'DUMMY_FUSE_SHIELD_FOREGROUND'

/** How a program of a name is called. Throws UsageError if nothing tells. */
export function habitsOf(name: string, env: NodeJS.ProcessEnv): Habits {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined
  if (known !== undefined) return known
  const told = env[FOREGROUND]
  if (told === undefined)
    throw new UsageError(
      `nothing tells how ${name} stays in the foreground; set ${FOREGROUND} to the option, such as -f, or to nothing if it always does; known are ${Object.keys(KNOWN).join(', ')}`,
    )
  return goesAwayUnless(wordsOf(told))
}

/** The words of a text, which blanks part. */
export function wordsOf(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}

/** A program that goes to the background unless it gets these words, or one that means the same. */
function goesAwayUnless(words: readonly string[], ...same: readonly string[]): Habits {
  return {
    mounts: () => true,
    stays: (call) => words.every((word) => call.includes(word)) || same.some((word) => call.includes(word)),
    staying: (call) => [...words, ...call],
  }
}
