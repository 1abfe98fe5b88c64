import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, UsageError } from '../../errors.ts'
import type { FileSystem } from '../../fuse/filesystem.ts'
import { parseSeconds } from '../numbers.ts'

/** How a daemon is to be slow or broken on purpose. Seconds. */
export interface Faults {
  readonly mountDelay: number
  readonly mountFail: boolean
  readonly readDelay: number
  readonly initHang: boolean
}

const FORMS = 'mount-delay=S, mount-fail, read-delay=S, init-hang (S: seconds)'

/** Reads the values of `--inject`. Throws UsageError that lists the faults there are. */
export function parseFaults(values: readonly string[]): Faults {
  let faults: Faults = { mountDelay: 0, mountFail: false, readDelay: 0, initHang: false }
  for (const value of values) faults = { ...faults, ...parseFault(value) }
  return faults
}

function parseFault(value: string): Partial<Faults> {
  if (value === 'mount-fail') return { mountFail: true }
  if (value === 'init-hang') return { initHang: true }
  const [, name, delay] = /^(mount-delay|read-delay)=(.*)$/s.exec(value) ?? []
  if (name === 'mount-delay') return { mountDelay: parseDelay(value, delay) }
  if (name === 'read-delay') return { readDelay: parseDelay(value, delay) }
  throw new UsageError(`unknown fault '${value}' for --inject; there are ${FORMS}`)
}

function parseDelay(value: string, delay = ''): number {
  try {
    return parseSeconds(delay)
  } catch (error) {
    throw new UsageError(`bad fault '${value}' for --inject: ${messageOf(error)} There are ${FORMS}`)
  }
}

/** Makes a file system's reads take `delay` seconds longer; each on its own, none waits for another. Returns the file system. */
export function slowReads(filesystem: FileSystem, delay: number): FileSystem {
  if (delay === 0) return filesystem
  const read = filesystem.read.bind(filesystem)
  return Object.assign(filesystem, {
    read: async (...[node, offset, size]: Parameters<FileSystem['read']>) => {
      await sleep(delay * 1000)
      return await read(node, offset, size)
    },
  })
}
