import {
  type BaseIssue,
  description,
  type DescriptionAction,
  type GenericSchema,
  getDotPath,
  type InferOutput,
  type ObjectEntries,
  pipe,
  safeParse,
  type SchemaWithPipe,
  strictObject,
  type StrictObjectSchema,
} from 'valibot'

/** What a value is not, by the type that its schema expects. */
const KINDS: Readonly<Record<string, string>> = {
  string: 'is not a text',
  number: 'is not a number',
  boolean: 'is neither true nor false',
  Array: 'is not a list',
  Object: 'is not an object',
  '(string | number)': 'is not a word',
  '(string | number | boolean)': 'is not a text',
}

/**
 * Checks a value that comes from outside this process: a state file, a message, a file of the user. Returns the fields that the schema names, and
 * no others. Throws Error that names the first wrong key and says what it is not: `capability.fsType is not a text`. A message that the schema
 * gives for a key follows the key as it is. No message repeats a value, which may be a secret, except where one constant is expected: `version 2
 * is not 1`.
 */
export function checked<S extends GenericSchema>(schema: S, value: unknown): InferOutput<S> {
  const { success, output, issues } = safeParse(schema, value)
  if (success) return output
  // A wrong name is often why another one is missing.
  throw new Error(problemOf(issues.find(isUnknownKey) ?? issues[0]))
}

/** Reads a JSON object from text. Throws Error as {@link checked} does, or that says that it is none. */
export function parseJson<S extends GenericSchema>(schema: S, text: string): InferOutput<S> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error('it is not valid JSON', { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it is not a JSON object')
  return checked(schema, value)
}

/** Reads a JSON object from text; undefined for anything else than the schema describes. */
export function jsonOrUndefined<S extends GenericSchema>(schema: S, text: string): InferOutput<S> | undefined {
  try {
    return parseJson(schema, text)
  } catch {
    return undefined
  }
}

function problemOf(issue: BaseIssue<unknown>): string {
  const { type, expected, received, message } = issue
  const key = getDotPath(issue) ?? 'it'
  if (isUnknownKey(issue)) return `there is no '${key}'; ${message}`
  if (received === 'undefined') return `${key} is missing`
  if (!message.startsWith('Invalid ')) return `${key} ${message}`
  if (type === 'literal') return `${key} ${received} is not ${expected ?? ''}`
  return `${key} ${KINDS[expected ?? ''] ?? `is not ${expected ?? 'valid'}`}`
}

function isUnknownKey({ type, expected }: BaseIssue<unknown>): boolean {
  return type === 'strict_object' && expected === 'never'
}

/** An object of these fields and no others; the message for another names them. */
export function strict<E extends ObjectEntries>(entries: E): StrictObjectSchema<E, string> {
  return strictObject(entries, `there are ${Object.keys(entries).join(', ')}`)
}

/** A schema with the text that an editor shows for it: `description` of the JSON schema that is made from it. */
export function described<S extends GenericSchema>(
  schema: S,
  text: string,
): SchemaWithPipe<readonly [S, DescriptionAction<InferOutput<S>, string>]> {
  return pipe(schema, description<InferOutput<S>, string>(text))
}
