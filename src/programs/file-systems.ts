import { DummyFs } from '../dummyfs/dummyfs.ts'
import type { FileSystem } from '../fuse/filesystem.ts'
import { parseFaults, slowReads } from './dummy-fuse/faults.ts'

/** The dummy file system, with those faults that are a file system's. Throws UsageError for faults there are not. */
export function dummyFileSystem(faults: readonly string[]): FileSystem {
  return slowReads(new DummyFs(), parseFaults(faults).readDelay)
}
