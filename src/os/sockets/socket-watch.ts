import { existsSync, type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/**
 * Calls `appeared` when a socket comes to its path, perhaps more than once, and not for one that is there already. `onError`: inotify(7) has failed, and nothing more is seen. Throws Node's error
 * (ENOENT, EMFILE, ENOSPC). Does not keep the event loop alive.
 */
export function watchForSocket(path: string, appeared: () => void, onError: (error: Error) => void): FSWatcher {
  return watch(dirname(path), { persistent: false }, (_event, name) => {
    if (name === basename(path) && existsSync(path)) appeared()
  }).on('error', onError)
}
