import { hash } from 'node:crypto'

/**
 * A file name for an arbitrary text, such as a path or an id with dots and slashes: its letters and digits, for people, and a hash, which makes the
 * name unique.
 */
export function fileNameFor(readable: string, ...rest: readonly string[]): string {
  const letters = readable.replace(/[^A-Za-z0-9-]+/g, '_').slice(0, 40)
  return `${letters}-${hash('sha256', JSON.stringify([readable, ...rest])).slice(0, 20)}.json`
}
