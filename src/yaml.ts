import { parseDocument, type YAMLError } from 'yaml'

/**
 * Reads a YAML file that a person has written. Throws Error that says what is wrong and where, without what stands there: that may be a secret.
 */
export function parseYaml(text: string): unknown {
  const document = parseDocument(text)
  // A warning is a text that begins with ! and has no quotes: its value would be empty.
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) throw new Error(`it is no YAML: ${withoutValue(problem)}`)
  try {
    return document.toJS()
  } catch (error) {
    throw new Error('it is no YAML: a text that begins with * needs quotes', { cause: error })
  }
}

function withoutValue({ code, message, linePos }: YAMLError): string {
  const [first = ''] = message.split('\n')
  if (code !== 'TAG_RESOLVE_FAILED') return first.replace(/: .* at line /, ' at line ').replace(/:$/, '')
  const [{ line, col }] = linePos ?? [{ line: 1, col: 1 }]
  return `a text that begins with ! needs quotes at line ${line}, column ${col}`
}
