import { array, boolean, type InferOutput, nullable, number, object, optional, string } from 'valibot'
import { parseJson } from '../schema.ts'

/** A process, with its start time as in proc_pid_stat(5), and the PID namespace in which it has that id. */
const identity = object({ pid: number(), start: string(), pidNamespace: optional(string()) })

/** What the state says of the session as a whole. Each is there once it is known. */
const schema = object({
  /** The mount point as it was given, made absolute, and without symbolic links. */
  given: optional(string()),
  mountpoint: optional(string()),
  stableInodes: optional(boolean()),
  readOnly: optional(boolean()),
  /** Whom daemons run as, as it was given; null: as the shield does. */
  user: optional(nullable(string())),
  /** The words of the command that the shield was called with. */
  called: optional(array(string())),
  /** The command of the daemon that has served last, which the last upgrade gave: the file, and the words as they were given. */
  command: optional(object({ file: string(), words: array(string()) })),
  /** Where its daemons believe that they mount. */
  target: optional(string()),
  /** What the first daemon has asked for in mount(2), which the next ones must ask for too. */
  mounted: optional(object({ flags: number(), data: string() })),
  /** Another directory that daemons believed to mount at, and the daemon that runs there, which does not serve. */
  spare: optional(object({ target: string(), daemon: optional(identity) })),
  /** The kernel may have cached what the daemon of another command has said. */
  cachesDiffer: optional(boolean()),
  /** `major:minor` of the mount's super block. */
  device: optional(string()),
  /** The mount came to its place. */
  attached: optional(boolean()),
  /** The kernel's INIT as daemons get it, in Base64. */
  init: optional(string()),
  /** What the kernel was answered. */
  agreement: optional(string()),
  /** The daemon that was started last. */
  daemon: optional(identity),
})

export type SessionFacts = Readonly<InferOutput<typeof schema>>

/** Reads them from JSON. Throws Error that says what is wrong. */
export function sessionFacts(text: string): SessionFacts {
  return parseJson(schema, text)
}
