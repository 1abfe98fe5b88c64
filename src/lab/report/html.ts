import { visible } from './text.ts'

/** Markup that is safe to write out: only `html` makes it. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** What may stand in a template: texts are escaped, nothing is left out for `undefined` and `false`, lists are joined. */
export type Part = Html | string | number | undefined | false | readonly Part[]

/** Markup with values in it. Values are escaped for texts and for attributes in quotes; there is no other way into the page. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  let text = flat(strings[0])
  parts.forEach((part, index) => (text += rendered(part) + flat(strings[index + 1])))
  return new Html(text)
}

/** Text as it may stand in markup and in attributes in double quotes; characters that have no shape are made visible. */
export function escape(text: string): string {
  return visible(text).replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`)
}

/** A template's own text without its indentation. */
function flat(markup = ''): string {
  return markup.replace(/\n\s*/g, '\n')
}

function rendered(part: Part): string {
  if (part === undefined || part === false) return ''
  if (part instanceof Html) return part.text
  if (typeof part === 'object') return part.map(rendered).join('')
  return escape(String(part))
}
