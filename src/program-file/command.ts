import { UsageError } from '../errors.ts'
import type { ProgramSpec } from './spec.ts'
import { fill, has, namesIn, type Placeholder, type Template } from './template.ts'
import { checkInOption, partsOf } from './volume-values.ts'

/** What the placeholders of a volume stand for. */
export interface VolumeValues {
  /** The directory to mount at. */
  readonly target: string
  readonly volumeId: string
  /** Checked, with their defaults. */
  readonly parameters: Readonly<Record<string, string>>
  /** Checked. */
  readonly mountFlags: readonly string[]
  /** The path of the private file with a secret. */
  readonly secretFile: (name: string) => string
  /** The path of a private file of the program's file. */
  readonly file: (name: string) => string
  readonly secrets: Readonly<Record<string, string>>
}

/** The words of the command that mounts a volume; no word has a secret. Throws UsageError for a value that would be read as something else. */
export function commandOf(spec: ProgramSpec, values: VolumeValues): readonly string[] {
  const { command } = spec
  return command.flatMap((word, index) => {
    if (has(word, 'options')) return optionWords(spec, values)
    return [filledWord(word, command[index - 1], values)]
  })
}

/** The words of the command that makes the program end. Throws UsageError as {@link commandOf} does. */
export function stopCommandOf(
  { stop: { command } }: ProgramSpec,
  { target, volumeId }: Pick<VolumeValues, 'target' | 'volumeId'>,
): readonly string[] {
  const none = { parameters: {}, mountFlags: [], secrets: {}, secretFile: () => '', file: () => '' }
  return command.map((word, index) => filledWord(word, command[index - 1], { ...none, target, volumeId }))
}

/** The variables of the program's environment. */
export function environmentOf({ environment }: ProgramSpec, values: VolumeValues): Readonly<Record<string, string>> {
  return Object.fromEntries([...environment].map(([key, text]) => [key, filled(text, values)]))
}

/** The contents of the program's private files. */
export function filesOf({ files }: ProgramSpec, values: VolumeValues): Readonly<Record<string, string>> {
  return Object.fromEntries([...files].map(([key, text]) => [key, filled(text, values)]))
}

function filled(template: Template, values: VolumeValues, value = ''): string {
  const valueOf = ({ kind, name }: Placeholder): string => {
    switch (kind) {
      case 'target':
        return values.target
      case 'volume':
        return values.volumeId
      case 'param':
        return values.parameters[name] ?? ''
      case 'file':
        return values.file(name)
      case 'secret-file':
        return values.secretFile(name)
      case 'secret':
        return values.secrets[name] ?? ''
      case 'value':
        return value
      case 'options':
        return ''
    }
  }
  return fill(template, valueOf)
}

function filledWord(template: Template, before: Template | undefined, values: VolumeValues): string {
  const word = filled(template, values)
  const [first] = template
  if (word.startsWith('-') && typeof first !== 'string')
    throw new UsageError(`the value of {${described(first)}} begins with a hyphen, and would be read as an option`)
  if (isInOptions(template, before)) {
    for (const name of namesIn(template, 'param')) checkInOption(`parameter '${name}'`, values.parameters[name] ?? '')
    if (has(template, 'volume')) checkInOption('the id of the volume', values.volumeId)
  }
  return word
}

function described(placeholder: Placeholder | undefined): string {
  if (placeholder === undefined) return ''
  return placeholder.name === '' ? placeholder.kind : `${placeholder.kind}:${placeholder.name}`
}

/** Whether a word is a list of mount options: it follows -o, or begins with it. */
function isInOptions([first]: Template, before: Template | undefined): boolean {
  const option = before?.length === 1 ? before[0] : undefined
  return option === '-o' || option === '--options' || option === '--option' || (typeof first === 'string' && first.startsWith('-o'))
}

/** `-o` with all mount options, if there are any, and the words of parameters and mount flags. */
function optionWords(spec: ProgramSpec, values: VolumeValues): readonly string[] {
  const options = [...spec.options]
  const words: string[] = []
  for (const [key, { option, words: own }] of spec.parameters) {
    const value = values.parameters[key]
    if (value === undefined) continue
    if (option !== undefined) options.push(filled(option, values, value))
    words.push(...own.map((word) => valueWord(word, values, value)))
  }
  for (const flag of values.mountFlags) {
    const { key, value } = partsOf(flag)
    const known = spec.mountFlags.get(key)
    // What the kernel obeys for each mount is set by the plugin.
    if (known === undefined) continue
    if (known.words === undefined) options.push(flag)
    else words.push(...known.words.map((word) => valueWord(word, values, value ?? '')))
  }
  return [...(options.length === 0 ? [] : ['-o', options.join(',')]), ...words]
}

function valueWord(template: Template, values: VolumeValues, value: string): string {
  const word = filled(template, values, value)
  if (word.startsWith('-') && typeof template[0] !== 'string')
    throw new UsageError(`the value '${value}' begins with a hyphen, and would be read as an option`)
  return word
}
