/**
 * Characters that a terminal obeys or that have no shape: controls (C0, DEL, C1), ends of line and of paragraph, what turns the direction of text
 * around, other format characters but the joiners of scripts, tags, and halves of surrogate pairs.
 */
const UNPRINTABLE =
  /[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}]|\p{Surrogate}/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r' }

/**
 * Text from anywhere as one line that may be shown: what is unprintable stands there as JSON writes it, `\n` or `\u001b`. Nobody can forge a line by
 * it, nor have a terminal obey.
 */
export function oneLine(text: string): string {
  return withoutUnprintables(text, escaped)
}

/** Like {@link oneLine}, for text of several lines: line feeds and tabs stay. */
export function printable(text: string): string {
  return withoutUnprintables(text, (one) => (one === '\n' || one === '\t' ? one : escaped(one)))
}

/** Like {@link oneLine}, within so many bytes of UTF-8. What is cut ends with an ellipsis. */
export function shortened(text: string, most: number): string {
  const bytes = Buffer.from(oneLine(text))
  if (bytes.length <= most) return bytes.toString()
  const kept = bytes.subarray(0, most - 3)
  // A character that was cut is decoded as U+FFFD.
  return `${kept.toString().replace(/\ufffd$/, '')}…`
}

/** Text with each unprintable character replaced. */
export function withoutUnprintables(text: string, replace: (one: string) => string): string {
  return text.replace(UNPRINTABLE, replace)
}

function escaped(one: string): string {
  const units = Array.from({ length: one.length }, (_, index) => one.charCodeAt(index))
  return SHORT[one] ?? units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
