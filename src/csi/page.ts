import { VolumeError } from '../volumes/errors.ts'

/** A page of a longer list; an empty token ends it. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly nextToken: string
}

const PREFIX = 'after:'

/**
 * The entries after a page token, `most` of them (0: all), from a list ordered by id. A token names the last id of its page, so that entries which
 * are added or removed in between neither shift nor repeat others. Throws VolumeError `badToken` or `invalid`.
 */
export function page<T extends { readonly id: string }>(sorted: readonly T[], most: number, token: string): Page<T> {
  if (most < 0) throw new VolumeError('invalid', `max_entries ${most} is negative`)
  if (token !== '' && !token.startsWith(PREFIX))
    throw new VolumeError('badToken', `starting_token '${token}' is not from this plugin; list again without one`)
  const after = token.slice(PREFIX.length)
  const rest = sorted.filter(({ id }) => id > after)
  const items = most === 0 ? rest : rest.slice(0, most)
  const last = items.at(-1)
  return { items, nextToken: last !== undefined && items.length < rest.length ? `${PREFIX}${last.id}` : '' }
}
