import { randomInt } from 'node:crypto'
import { DummyFs } from '../dummyfs/dummyfs.ts'
import { MemoryFs } from '../dummyfs/memoryfs.ts'
import type { FileSystem } from '../fuse/filesystem.ts'
import type { WantedFileSystem } from '../fuse/session/server.ts'
import { parseFaults, slowReads } from './dummy-fuse/faults.ts'

/** Node ids that one file system in memory uses at the most: more than can be made while a session lasts. */
const IDS = 2n ** 33n

/**
 * The dummy file system, with those faults that are a file system's. One in memory that is inherited begins empty, with node ids that no process before had: of
 * what those had, the kernel gets ESTALE. Throws UsageError for faults there are not.
 */
export function dummyFileSystem({ faults, writable, inherited }: WantedFileSystem): FileSystem {
  const { readDelay } = parseFaults(faults)
  if (writable === undefined) return slowReads(new DummyFs(), readDelay)
  const idBase = inherited ? BigInt(randomInt(1, 2 ** 29)) * IDS : 0n
  return slowReads(new MemoryFs({ ...writable, idBase, greeting: !inherited }), readDelay)
}
