import * as v from 'valibot'
import { described, strict } from '../schema.ts'

/** The schema of a program's file (docs/programs.md). The JSON schema for editors is made from it, so that it has no transformations. */

/** A word of a command line. YAML reads an unquoted number as no text, and means one here. */
const WORD = v.union([v.string(), v.number()])

const TEXT = v.union([v.string(), v.number(), v.boolean()])

const PROGRAM_NAME = v.pipe(
  v.string(),
  v.regex(/^[a-z][a-z0-9.-]{0,40}$/, 'is not a lower-case name of at most 41 letters, digits, dots and hyphens'),
)

const KEY = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/, 'is not a name of letters, digits, dots, hyphens and underscores'),
)

const VARIABLE = v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not the name of an environment variable'))

const VALUES = v.optional(described(v.array(TEXT), 'The values that are allowed.'))
const PATTERN = v.optional(described(v.string(), 'A regular expression (JavaScript, flag u) that a whole value has to match.'))
const WORDS = v.optional(described(v.array(WORD), 'Words that stand after {options} if a value is given; {value} is the value.'))

const PARAMETER = strict({
  values: VALUES,
  pattern: PATTERN,
  default: v.optional(described(TEXT, 'The value where none is given.')),
  optional: v.optional(described(v.boolean(), 'Whether it may be left out although it has no default.')),
  option: v.optional(described(v.string(), 'A mount option that is added if a value is given; {value} is the value.')),
  words: WORDS,
  inline: v.optional(
    described(v.boolean(), 'Whether a pod may set it for an inline ephemeral volume. A pod is not trusted. Default: false.'),
  ),
})

const MOUNT_FLAG = strict({ values: VALUES, pattern: PATTERN, words: WORDS })

const STOP = strict({
  by: v.optional(
    described(
      v.picklist(['unmount', 'signal', 'command'], 'is not unmount, signal or command'),
      'What makes the program end: the unmount, a signal before it, or a command before it. Default: unmount.',
    ),
  ),
  signal: v.optional(
    described(v.picklist(['SIGTERM', 'SIGINT', 'SIGHUP'], 'is not SIGTERM, SIGINT or SIGHUP'), 'Default: SIGTERM.'),
  ),
  command: v.optional(described(v.array(WORD), 'The command of `by: command`.')),
  within: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0.1, 'is less than 0.1 seconds'), v.maxValue(3600, 'is more than 3600 seconds')),
      'Seconds that the program has to end. After them it is killed. Default: 10.',
    ),
  ),
})

const SHIELD = strict({
  readOnly: v.optional(
    described(
      v.boolean(),
      'Whether volumes are read-only. Default: true for programs that are known to lose a write when they are killed, else false.',
    ),
  ),
  stableInodes: v.optional(
    described(v.boolean(), 'Whether the program gives a file the same inode number each time it is started. Default: false.'),
  ),
  giveUp: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0.1, 'is less than 0.1 seconds'), v.maxValue(86_400, 'is more than 86400 seconds')),
      'Seconds without a program that serves, after which the volume is dead. Default: 300.',
    ),
  ),
})

/** A program's file as it is written. */
export const PROGRAM_FILE = strict({
  name: described(
    PROGRAM_NAME,
    'The name of the program in messages and in the mount cache. Do not change it while volumes are staged.',
  ),
  command: described(
    v.pipe(v.array(WORD), v.minLength(1, 'is empty')),
    'The program and its arguments, word by word; no shell reads them.',
  ),
  start: v.optional(
    described(
      v.picklist(['foreground', 'background'], 'is not foreground or background'),
      'foreground: the command is the daemon. background: the command returns, and a process that it has started is the daemon. Default: foreground.',
    ),
  ),
  needs: v.optional(described(v.array(v.string()), 'Other programs that have to be on PATH.')),
  environment: v.optional(
    described(v.record(VARIABLE, TEXT), 'Variables of its environment, beside PATH, HOME, LANG and TMPDIR of the plugin.'),
  ),
  secrets: v.optional(described(v.array(KEY), 'The keys of the secrets that NodeStageVolume has to bring.')),
  keepSecrets: v.optional(
    described(
      v.picklist(['staged', 'mounted'], 'is not staged or mounted'),
      'staged: secrets are kept in memory until the volume is unstaged, so that it can be mounted again. mounted: until the program has mounted. Default: staged.',
    ),
  ),
  files: v.optional(described(v.record(KEY, v.string()), 'Private files (mode 0600, in memory) with their contents.')),
  parameters: v.optional(
    described(
      v.record(KEY, PARAMETER),
      'The parameters of a StorageClass and volume attributes that are allowed. All others are refused.',
    ),
  ),
  mountFlags: v.optional(
    described(
      v.record(KEY, v.nullish(MOUNT_FLAG)),
      'The mount flags that are allowed and given to the program, beside those that the kernel obeys for each mount.',
    ),
  ),
  options: v.optional(described(v.array(WORD), 'Mount options that every volume has.')),
  stop: v.optional(STOP),
  shield: v.optional(described(SHIELD, 'How volumes are served with --fuse-host service (docs/shield.md).')),
})

export type ProgramFile = v.InferOutput<typeof PROGRAM_FILE>
