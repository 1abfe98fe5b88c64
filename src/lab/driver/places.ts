/** What `{name}` can stand for in a driver's file (docs/lab.md). */
export const PLACES = ['socket', 'state', 'node', 'staging', 'target'] as const

export type Place = (typeof PLACES)[number]

/** `{{name}}`, and `{name}` with what a shell's own variable has before it. */
const BRACES = /\{\{([a-z]+)\}\}|(\$?)\{([a-z]+)\}/g

/**
 * The text with each of `places` replaced by what `valueOf` says. `{{name}}` becomes `{name}` itself. Every other brace stays: lines of a shell and JSON have
 * many, so that they need not be written twice as in a program's file. Throws Error for `${name}`, which may mean a variable of the shell.
 */
export function fillPlaces<T extends Place>(text: string, places: readonly T[], valueOf: (place: T) => string): string {
  return text.replaceAll(BRACES, (found: string, doubled?: string, dollar?: string, name?: string) => {
    const place = places.find((one) => one === (doubled ?? name))
    if (place === undefined) return found
    if (doubled !== undefined) return `{${place}}`
    if (dollar === '$')
      throw new Error(
        `has \${${place}}, and {${place}} is filled in before a shell reads it; write $${place} or \${{${place}}} for a variable of the shell, or leave out the $`,
      )
    return valueOf(place)
  })
}

/** Whether something is filled in for a place in a text. Throws as {@link fillPlaces} does. */
export function hasPlace(text: string, place: Place): boolean {
  const found: Place[] = []
  fillPlaces(text, [place], (one) => {
    found.push(one)
    return ''
  })
  return found.length > 0
}

/** The text that stands for this one in a driver's file: nothing of it is filled in. */
export function withoutPlaces(text: string): string {
  return text.replaceAll(/\{([a-z]+)\}/g, (found: string, name: string) =>
    PLACES.some((one) => one === name) ? `{${found}}` : found,
  )
}
