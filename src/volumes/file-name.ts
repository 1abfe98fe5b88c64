import { hash } from 'node:crypto'

/**
 * A file name for something whose own name is anything at all, a path or an id with dots and slashes: readable letters of it, for
 * people, and a hash, which makes it unique.
 */
export function fileNameFor(readable: string, ...rest: readonly string[]): string {
  const letters = readable.replace(/[^A-Za-z0-9-]+/g, '_').slice(0, 40)
  return `${letters}-${hash('sha256', JSON.stringify([readable, ...rest])).slice(0, 20)}.json`
}
