import { boolean, type InferOutput, number, object, optional, string } from 'valibot'
import { parseJson } from '../schema.ts'

/** What the state says of the session as a whole. Each is there once it is known. */
const schema = object({
  /** The mount point as it was given, made absolute, and without symbolic links. */
  given: optional(string()),
  mountpoint: optional(string()),
  /** Where daemons believe that they mount. */
  target: optional(string()),
  stableInodes: optional(boolean()),
  /** `major:minor` of the mount's super block. */
  device: optional(string()),
  /** The mount came to its place. */
  attached: optional(boolean()),
  /** The kernel's INIT as daemons get it, in Base64. */
  init: optional(string()),
  /** What the kernel was answered. */
  agreement: optional(string()),
  /** The daemon that was started last, with its start time as in proc_pid_stat(5). */
  daemon: optional(object({ pid: number(), start: string() })),
})

export type SessionFacts = Readonly<InferOutput<typeof schema>>

/** Reads them from JSON. Throws Error that says what is wrong. */
export function sessionFacts(text: string): SessionFacts {
  return parseJson(schema, text)
}
