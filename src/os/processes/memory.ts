import { readFileSync } from 'node:fs'
import type { Libc } from '../libc.ts'

/** madvise(2): the pages are read from the file again when they are needed. */
const MADV_DONTNEED = 4

/** malloc.h of glibc. */
const M_ARENA_MAX = -8

/** A mapping of the executable, from /proc/self/smaps. */
interface Mapping {
  readonly start: bigint
  readonly length: bigint
}

/** Returns memory to the kernel that was needed only for the start, or for a burst of work. */
export function tidyMemory(libc: Libc): void {
  releaseStartPages(libc, process.execPath)
  // malloc_trim(3): freed memory would stay with the process otherwise.
  libc.foreign('int malloc_trim(ulong)')(0)
}

/**
 * Drops the pages of the executable that only the start needed. Most of its 100 MB are never used again, but would count as this process's memory
 * (VmRSS). Only mappings without dirty pages are dropped; their pages stay in the page cache.
 */
function releaseStartPages(libc: Libc, executable: string): void {
  const madvise = libc.foreign('int madvise(uintptr_t, ulong, int)')
  const smaps = readFileSync('/proc/self/smaps', 'utf8')
  for (const { start, length } of untouchedMappings(smaps, executable)) madvise(start, length, MADV_DONTNEED)
}

/** Has all threads share one heap (mallopt(3), M_ARENA_MAX): each of its own keeps what it once took. To be called before there are threads. */
export function shareHeap(libc: Libc): void {
  libc.foreign('int mallopt(int, int)')(M_ARENA_MAX, 1)
}

/** The mappings of a file that have no page of their own (proc_pid_smaps(5)). */
function untouchedMappings(smaps: string, file: string): readonly Mapping[] {
  const blocks = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  return blocks.flatMap((block) => {
    const [, from, to, path] = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)$/m.exec(block) ?? []
    if (from === undefined || to === undefined || path !== file || !/^Anonymous: +0 kB$/m.test(block)) return []
    const start = BigInt(`0x${from}`)
    return [{ start, length: BigInt(`0x${to}`) - start }]
  })
}
