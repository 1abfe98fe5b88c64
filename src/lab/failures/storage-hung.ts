import type { Failure } from './failure.ts'
import { storageOf } from './storage.ts'

/** A server that is overloaded, or a network that drops every packet. */
export const storageHung: Failure = {
  id: 'storage-hung',
  title: 'Storage hung',
  words: 'The processes of the storage are stopped (SIGSTOP) for three seconds, and then resumed. Connections stay open.',
  lastsMs: 3000,
  strikesStorage: true,
  strike: async (harness) => {
    const storage = storageOf(harness)
    harness.timeline.note('node', 'failure', `SIGSTOP to the storage, processes ${(await storage.pids()).join(', ')}`)
    await storage.hang()
  },
  mend: async (harness) => {
    await storageOf(harness).resume()
  },
}
