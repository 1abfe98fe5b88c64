import * as v from 'valibot'
import { messageOf, UsageError } from '../../errors.ts'
import { checked } from '../../schema.ts'
import { parseYaml } from '../../yaml.ts'
import type { DriverSpec } from './spec.ts'

/** Words may be written as numbers. */
const WORDS = v.pipe(
  v.array(v.union([v.string(), v.number()])),
  v.transform((words) => words.map(String)),
)

/** Names with values. YAML reads an unquoted `true` or `1` as no text, and means one here. */
const TEXTS = v.nullish(
  v.pipe(
    v.custom<Readonly<Record<string, unknown>>>(isObject, 'is not a list of names with values'),
    v.rawCheck(({ dataset, addIssue }) => {
      const input = dataset.value as Readonly<Record<string, unknown>>
      for (const [key, value] of Object.entries(dataset.typed ? input : {}))
        if (typeof value === 'object')
          addIssue({ message: 'is not a text', path: [{ type: 'object', origin: 'value', input, key, value }] })
    }),
    v.transform((texts) => Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, String(text)]))),
  ),
  {},
)

const VOLUME = strict({
  id: v.string(),
  staged: v.nullish(v.boolean(), true),
  attributes: TEXTS,
  publishContext: TEXTS,
  secrets: TEXTS,
  fsType: v.optional(v.string()),
  mountFlags: v.optional(WORDS, []),
})

const DRIVER = strict({
  name: v.string(),
  start: v.pipe(
    WORDS,
    v.check(([file = '']) => file.startsWith('/'), 'does not begin with an absolute path'),
  ),
  upgrade: v.optional(WORDS),
  stop: v.optional(v.picklist(['SIGTERM', 'SIGINT'], 'is neither SIGTERM nor SIGINT'), 'SIGTERM'),
  container: v.optional(WORDS, []),
  fuse: v.nullish(v.boolean(), true),
  daemon: v.optional(v.string()),
  volume: VOLUME,
  prepare: v.optional(v.string()),
  file: v.string(),
  content: v.string(),
})

/** Reads a driver's file (docs/lab.md). `name`: of the file, for errors. Throws UsageError that names the field. */
export function parseDriver(text: string, name: string): DriverSpec {
  const fail = (what: string): never => {
    throw new UsageError(`${name}: ${what} (docs/lab.md, "Your own driver")`)
  }
  let value: unknown
  try {
    value = parseYaml(text)
  } catch (error) {
    return fail(messageOf(error))
  }
  if (!isObject(value)) return fail('the file is not a list of names with values')
  let driver: v.InferOutput<typeof DRIVER>
  try {
    driver = checked(DRIVER, value)
  } catch (error) {
    return fail(messageOf(error))
  }
  const { upgrade = driver.start, daemon, prepare } = driver
  const { attributes, fsType, ...volume } = driver.volume
  return {
    ...{ ...driver, upgrade, daemon, prepare },
    volume: { ...volume, pv: 'driver-pv', volumeContext: attributes, ...(fsType === undefined ? {} : { fsType }) },
  }
}

/** An object of these fields and no others; the message for another names them. */
function strict<E extends v.ObjectEntries>(entries: E): v.StrictObjectSchema<E, string> {
  return v.strictObject(entries, `there are ${Object.keys(entries).join(', ')}`)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
