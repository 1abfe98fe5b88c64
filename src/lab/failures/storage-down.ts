import type { Failure } from './failure.ts'
import { storageOf } from './storage.ts'

/** A server that crashes and is started again. */
export const storageDown: Failure = {
  id: 'storage-down',
  title: 'Storage down',
  words:
    'The processes of the storage are killed, so that its connections break and its port is closed, and started again after three seconds.',
  lastsMs: 3000,
  strikesStorage: true,
  strike: async (harness) => {
    const storage = storageOf(harness)
    harness.timeline.note('node', 'failure', `SIGKILL to the storage, processes ${(await storage.pids()).join(', ')}`)
    await storage.kill()
  },
  mend: async (harness) => {
    await storageOf(harness).start()
  },
}
