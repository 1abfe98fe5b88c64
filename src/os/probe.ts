import { run } from './run.ts'

/** statfs(2)'s figures: blocks in units of `blockSize` bytes. */
export interface Usage {
  readonly blockSize: number
  readonly blocks: number
  readonly blocksFree: number
  readonly blocksAvailable: number
  readonly files: number
  readonly filesFree: number
}

/** What a file system said when asked: it answers, its server is gone, it does not answer in time, or there is nothing by that name. */
export type Probe =
  | { readonly kind: 'alive'; readonly usage: Usage }
  | { readonly kind: 'dead'; readonly message: string }
  | { readonly kind: 'hung' }
  | { readonly kind: 'absent' }

/** Milliseconds after which a file system that has not answered statfs(2) counts as hung. */
const PROBE_DEADLINE = 1500

/**
 * Asks the file system at a path for its statistics, in a process of its own: a thread of ours that waited for a hung one could be
 * ended by nobody. coreutils' stat(1) is there on every Debian and starts in a millisecond.
 */
export async function probe(path: string, deadline = PROBE_DEADLINE): Promise<Probe> {
  const result = await run('stat', ['-f', '-c', '%S %b %f %a %c %d', '--', path], deadline)
  if (result.kind === 'timeout') return { kind: 'hung' }
  if (result.kind === 'exited' && result.status === 0) return { kind: 'alive', usage: parseUsage(result.stdout) }
  const message = result.stderr.trim().split(': ').at(-1) ?? ''
  return message === 'No such file or directory' ? { kind: 'absent' } : { kind: 'dead', message: message.toLowerCase() }
}

function parseUsage(text: string): Usage {
  const [blockSize = 0, blocks = 0, blocksFree = 0, blocksAvailable = 0, files = 0, filesFree = 0] = text
    .trim()
    .split(' ')
    .map(Number)
  return { blockSize, blocks, blocksFree, blocksAvailable, files, filesFree }
}
