import { isUtf8 } from 'node:buffer'

/** The longest message in bytes, as systemd has it. */
export const LONGEST = 4096

/** The name of a stored descriptor that came without a name, or with one that LISTEN_FDNAMES cannot hold. */
const NO_NAME = 'stored'

/** What a process says by one message of sd_notify(3). */
export interface Notice {
  readonly ready: boolean
  readonly reloading: boolean
  readonly stopping: boolean
  readonly barrier: boolean
  /** X_FETCH=1: a successor asks a standby for all descriptors that it has, or a holder for those of a name. */
  readonly fetch: boolean
  /** X_PROMISE=1: a holder is to keep the descriptors of a name until a successor has them. */
  readonly promise: boolean
  /** FDNAME, if it is the name of a descriptor. */
  readonly name?: string
  readonly status?: string
  readonly mainPid?: number
  readonly watchdog?: 'alive' | 'trigger'
  /** In milliseconds; 0 switches the watchdog off. */
  readonly watchdogInterval?: number
  /** In milliseconds. */
  readonly extendTimeout?: number
  /** Keep the descriptors that came along. `poll`: until they show an error or a hang-up. */
  readonly store?: { readonly name: string; readonly poll: boolean }
  /** Let go of all descriptors of this name. */
  readonly remove?: string
  /** The parts that were malformed and are left out above, a few words each. */
  readonly flaws: readonly string[]
}

/** Reads a message: assignments, a line each, the first of a name counts. A text says why there is nothing to take from it. */
export function parseNotice(payload: Buffer): Notice | string {
  // One NUL at its end may be a C string's.
  const text = payload.toString('latin1').replace(/\0$/, '')
  if (text === '') return 'it is empty'
  if (text.includes('\0')) return 'it contains a NUL byte'
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    const at = line.indexOf('=')
    if (at > 0 && !fields.has(line.slice(0, at))) fields.set(line.slice(0, at), line.slice(at + 1))
  }
  if (fields.size === 0) return 'it contains no assignment'
  const flaws: string[] = []
  const is = (name: string, value = '1'): boolean => fields.get(name) === value
  return {
    ready: is('READY'),
    reloading: is('RELOADING'),
    stopping: is('STOPPING'),
    barrier: is('BARRIER'),
    fetch: is('X_FETCH'),
    promise: is('X_PROMISE'),
    ...optional('status', statusOf(fields.get('STATUS'), flaws)),
    ...optional('mainPid', numberOf(fields, 'MAINPID', flaws, 1, 0x7fffffff)),
    ...(is('WATCHDOG') && { watchdog: 'alive' as const }),
    ...(is('WATCHDOG', 'trigger') && { watchdog: 'trigger' as const }),
    ...optional('watchdogInterval', milliseconds(fields, 'WATCHDOG_USEC', flaws)),
    ...optional('extendTimeout', milliseconds(fields, 'EXTEND_TIMEOUT_USEC', flaws)),
    ...descriptorFields(fields, is, flaws),
    flaws,
  }
}

function descriptorFields(
  fields: ReadonlyMap<string, string>,
  is: (name: string, value?: string) => boolean,
  flaws: string[],
): Pick<Notice, 'store' | 'remove' | 'name'> {
  const given = fields.get('FDNAME')
  const name = given !== undefined && isDescriptorName(given) ? given : undefined
  if (given !== undefined && name === undefined) flaws.push('FDNAME is no name of a descriptor')
  if (is('FDSTOREREMOVE')) {
    if (name !== undefined) return { remove: name, name }
    flaws.push('FDSTOREREMOVE without a FDNAME')
    return {}
  }
  return { ...optional('name', name), ...(is('FDSTORE') && { store: { name: name ?? NO_NAME, poll: !is('FDPOLL', '0') } }) }
}

/** At most 255 bytes of printable ASCII, but no colon: LISTEN_FDNAMES is separated by them (sd_pid_notify_with_fds(3)). */
export function isDescriptorName(name: string): boolean {
  return /^[\x20-\x39\x3b-\x7e]{1,255}$/.test(name)
}

function statusOf(value: string | undefined, flaws: string[]): string | undefined {
  if (value === undefined) return undefined
  const bytes = Buffer.from(value, 'latin1')
  if (isUtf8(bytes)) return bytes.toString()
  flaws.push('STATUS is not UTF-8')
  return undefined
}

function numberOf(
  fields: ReadonlyMap<string, string>,
  name: string,
  flaws: string[],
  least: number,
  most: number,
): number | undefined {
  const value = fields.get(name)
  if (value === undefined) return undefined
  const number = /^\d{1,20}$/.test(value) ? Number(value) : NaN
  if (number >= least && number <= most) return number
  flaws.push(`${name} is no valid number`)
  return undefined
}

/** Microseconds rounded up; what no timer of Node's can wait for, such as systemd's infinity, becomes 0: none. */
function milliseconds(fields: ReadonlyMap<string, string>, name: string, flaws: string[]): number | undefined {
  const value = numberOf(fields, name, flaws, 0, 2 ** 64)
  if (value === undefined) return undefined
  const rounded = Math.ceil(value / 1000)
  return rounded > 0x7fffffff ? 0 : rounded
}

function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Partial<Record<K, V>>)
}
