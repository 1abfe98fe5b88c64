import { parseDocument, type YAMLError } from 'yaml'
import { UsageError } from '../../errors.ts'
import type { DriverSpec } from './spec.ts'

type Fields = Readonly<Record<string, unknown>>

const KNOWN = ['name', 'start', 'upgrade', 'stop', 'container', 'fuse', 'daemon', 'volume', 'prepare', 'file', 'content']
const KNOWN_OF_VOLUME = ['id', 'staged', 'attributes', 'publishContext', 'secrets', 'fsType', 'mountFlags']

/** Reads a driver's file (docs/lab.md). `name`: of the file, for errors. Throws UsageError that names the field. */
export function parseDriver(text: string, name: string): DriverSpec {
  const fail = (what: string): never => {
    throw new UsageError(`${name}: ${what} (docs/lab.md, "Your own driver")`)
  }
  const fields = fieldsOf(read(text, fail), 'the file', KNOWN, fail)
  const volume = fieldsOf(fields.volume ?? {}, 'volume', KNOWN_OF_VOLUME, fail)
  const textList = (of: Fields, key: string): readonly string[] | undefined => {
    const value = of[key]
    if (value === undefined) return undefined
    return Array.isArray(value) && value.every((word) => typeof word === 'string' || typeof word === 'number')
      ? value.map(String)
      : fail(`${key} is not a list of words`)
  }
  const text_ = (of: Fields, key: string): string | undefined => {
    const value = of[key]
    return value === undefined || typeof value === 'string' ? value : fail(`${key} is not a text`)
  }
  const flag = (of: Fields, key: string, otherwise: boolean): boolean => {
    const value = of[key] ?? otherwise
    return typeof value === 'boolean' ? value : fail(`${key} is neither true nor false`)
  }
  const texts = (of: Fields, key: string): Readonly<Record<string, string>> => {
    const entries = Object.entries(fieldsOf(of[key] ?? {}, key, undefined, fail))
    const wrong = entries.find(([, value]) => typeof value === 'object')
    if (wrong !== undefined) return fail(`${key}.${wrong[0]} is not a text`)
    return Object.fromEntries(entries.map(([one, value]) => [one, String(value)]))
  }
  const need = <T>(value: T | undefined, key: string): T => value ?? fail(`${key} is missing`)

  const start = need(textList(fields, 'start'), 'start')
  if (!(start[0] ?? '').startsWith('/')) fail('the first word of start is not an absolute path')
  const stop = text_(fields, 'stop') ?? 'SIGTERM'
  if (stop !== 'SIGTERM' && stop !== 'SIGINT') return fail('stop is neither SIGTERM nor SIGINT')
  const fsType = text_(volume, 'fsType')
  return {
    name: need(text_(fields, 'name'), 'name'),
    ...{ start, stop, upgrade: textList(fields, 'upgrade') ?? start },
    container: textList(fields, 'container') ?? [],
    fuse: flag(fields, 'fuse', true),
    daemon: text_(fields, 'daemon'),
    volume: {
      id: need(text_(volume, 'id'), 'volume.id'),
      pv: 'driver-pv',
      volumeContext: texts(volume, 'attributes'),
      publishContext: texts(volume, 'publishContext'),
      secrets: texts(volume, 'secrets'),
      mountFlags: textList(volume, 'mountFlags') ?? [],
      staged: flag(volume, 'staged', true),
      ...(fsType === undefined ? {} : { fsType }),
    },
    prepare: text_(fields, 'prepare'),
    file: need(text_(fields, 'file'), 'file'),
    content: need(text_(fields, 'content'), 'content'),
  }
}

function read(text: string, fail: (what: string) => never): unknown {
  const document = parseDocument(text)
  // A warning is a text that begins with ! and has no quotes: its value would be empty.
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) return fail(`it is no YAML: ${withoutValue(problem)}`)
  try {
    return document.toJS()
  } catch {
    return fail('it is no YAML: a text that begins with * needs quotes')
  }
}

/** What is wrong and where, without what stands there: that may be a secret. */
function withoutValue({ code, message, linePos }: YAMLError): string {
  const [first = ''] = message.split('\n')
  if (code !== 'TAG_RESOLVE_FAILED') return first.replace(/: .* at line /, ' at line ').replace(/:$/, '')
  const [{ line, col }] = linePos ?? [{ line: 1, col: 1 }]
  return `a text that begins with ! needs quotes at line ${line}, column ${col}`
}

function fieldsOf(value: unknown, what: string, known: readonly string[] | undefined, fail: (what: string) => never): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(`${what} is not a list of names with values`)
  const unknown = known === undefined ? undefined : Object.keys(value).find((key) => !known.includes(key))
  return unknown === undefined ? { ...value } : fail(`there is no '${unknown}'; there are ${known?.join(', ') ?? ''}`)
}
