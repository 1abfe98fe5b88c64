import { withoutUnprintables } from '../../printable.ts'

/** Text in which each character can be seen: control characters but tab and newline as their Unicode pictures, others as `<U+202E>`. */
export function visible(text: string): string {
  return withoutUnprintables(text, (one) => {
    if (one === '\n' || one === '\t') return one
    const code = one.codePointAt(0) ?? 0
    if (code < 0x20) return String.fromCharCode(0x2400 + code)
    return code === 0x7f ? '\u2421' : `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
  })
}

/** The first `most` characters, and how many more there were. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text
  return `${text.slice(0, most)} … (${count(text.length - most, 'more character')})`
}

/** `1 read`, `2,345 reads`; `many` is the plural where it is not the word with an s. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${thousands(number)} ${number === 1 ? one : many}`
}

export function thousands(number: number): string {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Milliseconds as people read them: `0.4 ms`, `18 ms`, `1.25 s`, `3 min 20 s`. */
export function duration(ms: number): string {
  if (ms < 1) return `${trimmed(ms, 1)} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${trimmed(ms / 1000, 2)} s`
  const seconds = Math.round(ms / 1000)
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** A point in time of a cell, in seconds to the millisecond, so that a column of them lines up: `1.250 s`. */
export function moment(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(words: readonly string[], and = 'and'): string {
  const last = words.at(-1) ?? ''
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} ${and} ${last}`
}

/** With a capital at its beginning. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function trimmed(number: number, digits: number): string {
  return String(Number(number.toFixed(digits)))
}
