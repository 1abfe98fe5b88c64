import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { replaceFile } from '../os/descriptors/durable-file.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { jsonOrUndefined } from '../schema.ts'
import type { RegistrationState } from './registration-state.ts'

/** The registration as the plugin has recorded it for `status`. */
export interface RecordedRegistration {
  readonly state: RegistrationState['kind']
  /** The kubelet's words for a refusal, or why it does not see or reach the socket. */
  readonly message?: string
  /** When it became so: an ISO 8601 time. */
  readonly since: string
}

const KINDS = ['waiting', 'asked', 'registered', 'refused', 'unseen', 'lost'] as const satisfies RegistrationState['kind'][]

const RECORD = v.object({
  state: v.picklist(KINDS),
  // A message that is damaged is left out; the state counts all the same.
  message: v.fallback(v.optional(v.string()), undefined),
  since: v.string(),
})

/** The file `kubelet-registration.json` in the plugin's state folder. It is current while the plugin runs, and is removed when the plugin ends. */
export class RegistrationRecord {
  readonly #path: string
  readonly #rateLimitedLog: RateLimitedLog

  constructor(stateDir: string, log: Logger) {
    this.#path = pathIn(stateDir)
    this.#rateLimitedLog = new RateLimitedLog(log)
  }

  /** Replaces what is written. A failure is logged: registration goes on without it. */
  write(state: RegistrationState): void {
    const message = messageIn(state)
    const record: RecordedRegistration = {
      state: state.kind,
      ...(message === undefined ? {} : { message }),
      since: new Date().toISOString(),
    }
    try {
      replaceFile(this.#path, `${JSON.stringify(record)}\n`)
    } catch (error) {
      this.#rateLimitedLog.warning(
        'write',
        `cannot write ${this.#path}, from which status reads the registration: ${messageOf(error)}`,
      )
    }
  }

  remove(): void {
    rmSync(this.#path, { force: true })
  }
}

function messageIn(state: RegistrationState): string | undefined {
  if (state.kind === 'refused') return state.error
  return state.kind === 'unseen' || state.kind === 'lost' ? state.reason : undefined
}

/** The record of the plugin that has this state folder; undefined if it does not register itself, or the file is none of ours. Throws Node's error. */
export function readRegistration(stateDir: string): RecordedRegistration | undefined {
  let text: string
  try {
    text = readFileSync(pathIn(stateDir), 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  const found = jsonOrUndefined(RECORD, text)
  if (found === undefined) return undefined
  const { message, ...record } = found
  return { ...record, ...(message === undefined ? {} : { message }) }
}

function pathIn(stateDir: string): string {
  return join(stateDir, 'kubelet-registration.json')
}
