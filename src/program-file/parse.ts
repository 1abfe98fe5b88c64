import { messageOf, UsageError } from '../errors.ts'
import { checked } from '../schema.ts'
import { namesSecret } from '../secrets.ts'
import { parseYaml } from '../yaml.ts'
import { PROGRAM_FILE, type ProgramFile } from './schema.ts'
import type { MountFlag, Parameter, ProgramSpec, Rule, StopRule } from './spec.ts'
import { type Allowed, has, namesIn, parseTemplate, type Template } from './template.ts'

/** The name that a mount option or a parameter has in a list. */
type Named<T> = readonly (readonly [string, T])[]

/** Seconds. */
const STANDARD_STOP = 10

/** Reads a program's file. `name`: of the file, for errors. Throws UsageError that names the field. */
export function parseProgramFile(text: string, name: string): ProgramSpec {
  try {
    const value = parseYaml(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new Error('the file is not a list of names with values')
    return specOf(checked(PROGRAM_FILE, value))
  } catch (error) {
    throw new UsageError(`${name}: ${messageOf(error)} (docs/programs.md)`)
  }
}

function specOf(file: ProgramFile): ProgramSpec {
  const { secrets = [], files = {}, parameters = {}, mountFlags = {}, environment = {}, options = [] } = file
  for (const parameter of Object.keys(parameters))
    if (namesSecret(parameter))
      throw new Error(
        `parameters.${parameter} is named as a secret, and parameters stand in StorageClasses, logs and command lines; take it from secrets`,
      )
  const param = Object.keys(parameters)
  const common = { target: [], volume: [], param } satisfies Allowed
  const withFiles = { ...common, file: Object.keys(files), 'secret-file': secrets } satisfies Allowed
  const command = templates('command', file.command, { ...withFiles, options: [] })
  const spec: ProgramSpec = {
    name: file.name,
    command,
    start: file.start ?? 'foreground',
    needs: file.needs ?? [],
    environment: new Map(
      Object.entries(environment).map(([key, text]) => [
        key,
        template(`environment.${key}`, String(text), { ...withFiles, secret: secrets }),
      ]),
    ),
    secrets,
    keepSecrets: file.keepSecrets ?? 'staged',
    files: new Map(
      Object.entries(files).map(([key, text]) => [
        key,
        template(`files.${key}`, text, { ...common, 'secret-file': secrets, secret: secrets }),
      ]),
    ),
    parameters: new Map(Object.entries(parameters).map(([key, one]) => [key, parameterOf(`parameters.${key}`, one)])),
    mountFlags: new Map(Object.entries(mountFlags).map(([key, one]) => [key, mountFlagOf(`mountFlags.${key}`, one ?? {})])),
    options: options.map(String),
    stop: stopOf(file.stop, { target: [], volume: [] }),
    shield: {
      readOnly: file.shield?.readOnly,
      stableInodes: file.shield?.stableInodes ?? false,
      giveUp: file.shield?.giveUp,
    },
  }
  checkCommand(spec)
  checkOptionalParameters(spec)
  return spec
}

function template(where: string, text: string, allowed: Allowed): Template {
  if (text.includes('\0')) throw new Error(`${where} has a NUL character`)
  try {
    return parseTemplate(text, allowed)
  } catch (error) {
    throw new Error(`${where} ${messageOf(error)}`, { cause: error })
  }
}

function templates(where: string, words: readonly (string | number)[], allowed: Allowed): readonly Template[] {
  return words.map((word) => template(where, String(word), allowed))
}

type Values = readonly (string | number | boolean)[]

function ruleOf(where: string, values: Values | undefined, pattern: string | undefined): Rule | undefined {
  if (values !== undefined && pattern !== undefined) throw new Error(`${where} has values and a pattern; leave one of them out`)
  if (values !== undefined) {
    const texts = values.map(String)
    if (texts.length === 0) throw new Error(`${where}.values is empty`)
    return { form: texts.length === 1 ? (texts[0] ?? '') : `one of ${texts.join(', ')}`, allows: (value) => texts.includes(value) }
  }
  if (pattern === undefined) return undefined
  let expression: RegExp
  try {
    expression = new RegExp(`^(?:${pattern})$`, 'u')
  } catch (error) {
    throw new Error(`${where}.pattern is no regular expression: ${messageOf(error)}`, { cause: error })
  }
  return { form: `a text that matches ${pattern}`, allows: (value) => expression.test(value) }
}

function parameterOf(where: string, one: NonNullable<ProgramFile['parameters']>[string]): Parameter {
  const rule = ruleOf(where, one.values, one.pattern)
  if (rule === undefined) throw new Error(`${where} has neither values nor a pattern; say which values are allowed`)
  const standard = one.default === undefined ? undefined : String(one.default)
  if (standard !== undefined && !rule.allows(standard)) throw new Error(`${where}.default is not ${rule.form}`)
  if (standard !== undefined && one.optional === true)
    throw new Error(`${where} has a default and is optional; leave one of them out`)
  return {
    rule,
    default: standard,
    optional: one.optional ?? false,
    option: one.option === undefined ? undefined : template(`${where}.option`, one.option, { value: [] }),
    words: templates(`${where}.words`, one.words ?? [], { value: [] }),
    inline: one.inline ?? false,
  }
}

function mountFlagOf(
  where: string,
  { values, pattern, words }: NonNullable<NonNullable<ProgramFile['mountFlags']>[string]>,
): MountFlag {
  const rule = ruleOf(where, values, pattern)
  const allowed: Allowed = rule === undefined ? {} : { value: [] }
  return { rule, words: words === undefined ? undefined : templates(`${where}.words`, words, allowed) }
}

function stopOf(
  { by = 'unmount', signal, command, within = STANDARD_STOP }: NonNullable<ProgramFile['stop']> = {},
  allowed: Allowed,
): StopRule {
  if (signal !== undefined && by !== 'signal') throw new Error(`stop.signal is for by: signal, and by is ${by}`)
  if ((command !== undefined) !== (by === 'command'))
    throw new Error(by === 'command' ? 'stop.command is missing' : `stop.command is for by: command, and by is ${by}`)
  return {
    by,
    signal: signal ?? 'SIGTERM',
    command: templates('stop.command', command ?? [], allowed),
    within: within * 1000,
  }
}

function checkCommand({ command, parameters, mountFlags, options, stop }: ProgramSpec): void {
  for (const [where, [program = []]] of [
    ['command', command] as const,
    ...(stop.by === 'command' ? [['stop.command', stop.command] as const] : []),
  ])
    if (program.length !== 1 || typeof program[0] !== 'string')
      throw new Error(`${where} begins with a placeholder; name a program`)
  if (!command.some((word) => has(word, 'target'))) throw new Error('command has no {target}, the directory to mount at')
  if (command.some((word) => has(word, 'options') && word.length > 1))
    throw new Error('command has {options} inside of a word; it is a word of its own, for -o and the options')
  const placed = command.filter((word) => has(word, 'options')).length
  if (placed > 1) throw new Error('command has {options} more than once')
  const sources: Named<boolean> = [
    ['options', options.length > 0],
    ...[...parameters].map(([key, { option, words }]) => [`parameters.${key}`, option !== undefined || words.length > 0] as const),
    ...[...mountFlags.keys()].map((key) => [`mountFlags.${key}`, true] as const),
  ]
  const source = sources.find(([, needsPlace]) => needsPlace)
  if (placed === 0 && source !== undefined) throw new Error(`${source[0]} has no place: put {options} into command`)
}

/** A placeholder always has a value. */
function checkOptionalParameters({ parameters, command, environment, files }: ProgramSpec): void {
  const all = [...command, ...environment.values(), ...files.values()]
  for (const name of all.flatMap((one) => namesIn(one, 'param')))
    if (parameters.get(name)?.optional === true)
      throw new Error(`parameters.${name} is optional, and {param:${name}} needs a value; give it a default, an option or words`)
}
