/** What a text of a program's file names by a placeholder. */
export interface Placeholder {
  readonly kind: PlaceholderKind
  /** What follows the colon; empty for kinds without a name. */
  readonly name: string
}

const NAMED = ['param', 'file', 'secret-file', 'secret'] as const
const UNNAMED = ['target', 'volume', 'options', 'value'] as const

export type PlaceholderKind = (typeof NAMED)[number] | (typeof UNNAMED)[number]

/** A text with placeholders in it. */
export type Template = readonly (string | Placeholder)[]

/** Which placeholders a text may have: each kind with the names that there are, or none for a kind without a name. */
export type Allowed = Readonly<Partial<Record<PlaceholderKind, readonly string[]>>>

/**
 * Reads a text. `{{` and `}}` are the braces themselves. Throws Error for a placeholder that is not allowed, which lists those that are, and for a brace
 * without its other.
 */
export function parseTemplate(text: string, allowed: Allowed): Template {
  const parts: (string | Placeholder)[] = []
  for (const [found] of text.matchAll(/\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g)) {
    if (found === '{' || found === '}')
      throw new Error(`has a ${found} without its other in '${text}'; a brace itself is written twice`)
    if (found === '{{' || found === '}}' || !found.startsWith('{')) parts.push(found === '{{' ? '{' : found === '}}' ? '}' : found)
    else parts.push(placeholder(found, allowed))
  }
  return parts
}

/** The text that {@link parseTemplate} reads as this one, without placeholders. */
export function escaped(text: string): string {
  return text.replaceAll(/[{}]/g, '$&$&')
}

/** Whether a text has a placeholder of a kind. */
export function has(template: Template, kind: PlaceholderKind): boolean {
  return template.some((part) => typeof part !== 'string' && part.kind === kind)
}

/** The names that a text's placeholders of a kind have. */
export function namesIn(template: Template, kind: PlaceholderKind): readonly string[] {
  return template.flatMap((part) => (typeof part !== 'string' && part.kind === kind ? [part.name] : []))
}

/** The text with each placeholder replaced. */
export function fill(template: Template, valueOf: (placeholder: Placeholder) => string): string {
  return template.map((part) => (typeof part === 'string' ? part : valueOf(part))).join('')
}

function placeholder(text: string, allowed: Allowed): Placeholder {
  const [word = '', ...rest] = text.slice(1, -1).split(':')
  const name = rest.join(':')
  const kind = [...NAMED, ...UNNAMED].find((one) => one === word)
  const names = kind === undefined ? undefined : allowed[kind]
  if (kind === 'secret' && allowed['secret-file'] !== undefined && names === undefined)
    throw new Error(
      `has ${text}, which would stand on a command line, where every user of the machine reads it; use {secret-file:${name}}, or name the secret in environment or files`,
    )
  if (kind === undefined || names === undefined || (isNamed(kind) ? !names.includes(name) : text !== `{${kind}}`))
    throw new Error(`has the placeholder ${text}, which there is not; there are ${listOf(allowed)}`)
  return { kind, name }
}

function isNamed(kind: PlaceholderKind): boolean {
  return NAMED.some((one) => one === kind)
}

function listOf(allowed: Allowed): string {
  const all = Object.entries(allowed).flatMap(([kind, names]) =>
    isNamed(kind as PlaceholderKind) ? names.map((name) => `{${kind}:${name}}`) : [`{${kind}}`],
  )
  return all.length === 0 ? 'none here' : all.join(', ')
}
