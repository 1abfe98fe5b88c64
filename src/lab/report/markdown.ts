import { oneLine } from '../../printable.ts'

/**
 * Text as it may stand in a line or a table of GitHub's Markdown (github.github.com/gfm): it is shown as it is and forms no markup. Line feeds and
 * what is unprintable stand there as `\n` or `\u001b`.
 */
export function markdown(text: string): string {
  return oneLine(text)
    .replace(/[\\`*_[\]|~]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
}

/** A table. Cells are Markdown already; lines begin and end with a bar. */
export function markdownTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('')
}
