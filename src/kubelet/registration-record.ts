import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { replaceFile } from '../os/descriptors/durable-file.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import type { RegistrationState } from './registration.ts'

/** What the plugin has written down of its registration, for `status`. */
export interface RecordedRegistration {
  readonly state: RegistrationState['kind']
  /** The kubelet's words for a refusal, or why it does not see the socket. */
  readonly message?: string
  /** When it became so: an ISO 8601 time. */
  readonly since: string
}

const KINDS: readonly string[] = ['waiting', 'asked', 'registered', 'refused', 'unseen'] satisfies RegistrationState['kind'][]

/** The file `kubelet-registration.json` in the plugin's state folder. It says what is so while the plugin runs, and goes with it. */
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
  return state.kind === 'unseen' ? state.reason : undefined
}

/** The record of the plugin that has this state folder; undefined if it does not register itself, or the file is none of ours. Throws Node's error. */
export function readRegistration(stateDir: string): RecordedRegistration | undefined {
  try {
    const record = JSON.parse(readFileSync(pathIn(stateDir), 'utf8')) as Partial<Record<keyof RecordedRegistration, unknown>>
    const { state, message, since } = record
    if (typeof state !== 'string' || !KINDS.includes(state) || typeof since !== 'string') return undefined
    return { state: state as RegistrationState['kind'], since, ...(typeof message === 'string' ? { message } : {}) }
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function pathIn(stateDir: string): string {
  return join(stateDir, 'kubelet-registration.json')
}
