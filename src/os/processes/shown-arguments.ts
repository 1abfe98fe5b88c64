import { readFileSync } from 'node:fs'
import type { Libc } from '../libc.ts'

/** include/uapi/linux/prctl.h */
const PR_SET_MM = 35
const PR_SET_MM_MAP = 14

/** include/uapi/asm-generic/mman-common.h */
const PROT_READ_WRITE = 3
const MAP_PRIVATE_ANONYMOUS = 0x22

/** struct prctl_mm_map: eleven addresses, the address and the size of an auxiliary vector (none: it stays), a descriptor (-1: none). */
const MAP_SIZE = 104
const FIELD = { brk: 5, argStart: 7, argEnd: 8 } as const
const EXE_FD = 100

/**
 * The struct's addresses among the fields of /proc/PID/stat (proc_pid_stat(5)), which are counted from 1: start_code, end_code, start_data, end_data,
 * start_brk, brk (which is not there), start_stack, arg_start, arg_end, env_start, env_end.
 */
const STAT_FIELDS = [26, 27, 45, 46, 47, undefined, 28, 48, 49, 50, 51] as const

interface Mapping {
  readonly start: bigint
  /** Bytes. */
  readonly length: number
}

/** The arguments of this process as /proc/PID/cmdline, ps and pkill -f show them: others find a daemon by them. */
export class ShownArguments {
  readonly #libc: Libc
  /** Where the kernel finds those that were shown last. */
  #mapping: Mapping | undefined

  constructor(libc: Libc) {
    this.#libc = libc
  }

  /**
   * Shows `args`, `argv[0]` first, in place of those before. Throws SystemError (EINVAL: a kernel without CONFIG_CHECKPOINT_RESTORE; EPERM). Of
   * the two ways that prctl(2) has, this one needs no capability (kernel/sys.c, prctl_set_mm_map).
   */
  show(args: readonly string[]): void {
    const bytes = Buffer.from(args.map((arg) => `${arg}\0`).join(''))
    const { length } = bytes
    // The room of the arguments that the process was started with may be too small.
    const start = this.#map(length)
    this.#libc.foreign('void *memcpy(uintptr_t, void *, ulong)')(start, bytes, length)
    try {
      this.#point(start, start + BigInt(length))
    } catch (error) {
      this.#unmap({ start, length })
      throw error
    }
    if (this.#mapping !== undefined) this.#unmap(this.#mapping)
    this.#mapping = { start, length }
  }

  #point(start: bigint, end: bigint): void {
    const map = memoryMap()
    map.writeBigUInt64LE(start, 8 * FIELD.argStart)
    map.writeBigUInt64LE(end, 8 * FIELD.argEnd)
    // The call sets the end of the heap too, which another thread may move in between: then once more.
    let brk: bigint
    do {
      brk = this.#heapEnd()
      map.writeBigUInt64LE(brk, 8 * FIELD.brk)
      const prctl = 'int prctl(int, ulong, void *, ulong, ulong)'
      this.#libc.checked('prctl PR_SET_MM_MAP', undefined, prctl, PR_SET_MM, PR_SET_MM_MAP, map, MAP_SIZE, 0)
    } while (this.#heapEnd() !== brk)
  }

  /** sbrk(3): as glibc, which alone moves it, has it. */
  #heapEnd(): bigint {
    return BigInt(this.#libc.foreign('uintptr_t sbrk(long)')(0))
  }

  #map(length: number): bigint {
    const mmap = 'uintptr_t mmap(uintptr_t, ulong, int, int, int, long)'
    const address = BigInt(this.#libc.foreign(mmap)(0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0))
    if (BigInt.asIntN(64, address) === -1n) throw this.#libc.lastError('mmap')
    return address
  }

  #unmap({ start, length }: Mapping): void {
    this.#libc.foreign('int munmap(uintptr_t, ulong)')(start, length)
  }
}

/** The struct with this process's own addresses. */
function memoryMap(): Buffer {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  // The name is the second field and may hold spaces and parentheses.
  const fromThird = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const map = Buffer.alloc(MAP_SIZE)
  STAT_FIELDS.forEach((field, index) => {
    if (field !== undefined) map.writeBigUInt64LE(BigInt(fromThird[field - 3] ?? 0), 8 * index)
  })
  map.writeInt32LE(-1, EXE_FD)
  return map
}
