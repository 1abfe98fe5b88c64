import * as v from 'valibot'
import { jsonOrUndefined } from '../../schema.ts'

/**
 * What a dummy-fuse and the process that started it say to each other on a socket pair, a line each. The daemon says {@link DaemonWord}s. A
 * plugin, which keeps its end for as long as the daemon lives, answers `idle` by an {@link Order}. Without an answer, and when the other end is
 * closed, an idle daemon ends.
 */

/** The environment variable with the number of the channel's descriptor. */
export const READY_FD = 'DUMMY_FUSE_READY_FD'

/**
 * `mounting`: it has started, and waits for its storage from now on. `ready`: INIT has been handled. `idle`: nothing is served, nothing of an earlier
 * mount is left, and an order can be taken.
 */
export type DaemonWord = (typeof WORDS)[number]

const WORDS = ['mounting', 'ready', 'idle'] as const

/** `serve`: what dummy-fuse is to do, by its command line. `wait`: an order comes later. `end`: there is none. */
export type Order = { readonly do: 'serve'; readonly words: readonly string[] } | { readonly do: 'wait' } | { readonly do: 'end' }

const ORDER = v.variant('do', [
  v.object({ do: v.literal('serve'), words: v.array(v.string()) }),
  v.object({ do: v.literal('wait') }),
  v.object({ do: v.literal('end') }),
])

/** The words that start a dummy-fuse which waits for its order. */
export const SPARE_ARGS: readonly string[] = ['-f', '--die-with-parent', '--spare']

/** The process name of a waiting spare (ps -o comm), so that a search for the daemons of volumes does not find it. */
export const SPARE_NAME = 'dummy-spare'

/** A word as it is sent. */
export function wordLine(word: DaemonWord): string {
  return `${word}\n`
}

/** An order as it is sent. */
export function orderLine(order: Order): string {
  return `${JSON.stringify(order)}\n`
}

/** A line, without its line feed, as the word that it is; undefined for anything else. */
export function parseWord(line: string): DaemonWord | undefined {
  return WORDS.find((word) => word === line)
}

/** A line, without its line feed, as the order that it is; undefined for anything else. */
export function parseOrder(line: string): Order | undefined {
  return jsonOrUndefined(ORDER, line)
}
