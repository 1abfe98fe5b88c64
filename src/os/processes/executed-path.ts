import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** An entry of the auxiliary vector, two numbers of 64 bits, whose value is the address of the path (getauxval(3)). */
const AT_EXECFN = 31n
const ENTRY = 16

/** Bytes of the longest path. */
const LONGEST = 4096

/** The path that execve(2) was given for this process, symbolic links in it and relative as it was; undefined where /proc does not tell. */
export function executedPath(): string | undefined {
  try {
    const auxv = readFileSync('/proc/self/auxv')
    for (let at = 0; at + ENTRY <= auxv.length; at += ENTRY)
      if (auxv.readBigUInt64LE(at) === AT_EXECFN) return textAt(auxv.readBigUInt64LE(at + 8))
    return undefined
  } catch {
    return undefined
  }
}

function textAt(address: bigint): string {
  const memory = openSync('/proc/self/mem', 'r')
  try {
    const bytes = Buffer.alloc(LONGEST)
    const text = bytes.subarray(0, readSync(memory, bytes, 0, LONGEST, address))
    const end = text.indexOf(0)
    return text.toString('utf8', 0, end < 0 ? undefined : end)
  } finally {
    closeSync(memory)
  }
}
