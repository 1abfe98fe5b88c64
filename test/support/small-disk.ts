import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../../src/errors.ts'
import { mount } from './mounts.ts'

/** A disk on which files cannot be made for a while. */
export interface Trouble {
  /** `the disk is full`. */
  readonly title: string
  readonly begin: (disk: string) => void
  readonly end: (disk: string) => void
}

/** Files that take up what is left; a folder, so that a program that lists its own folders does not meet them. */
const FILLER = 'filler'

/** Mounts a small disk (tmpfs) at a directory. */
export function mountSmallDisk(path: string): void {
  mkdirSync(path, { recursive: true })
  mount('-t', 'tmpfs', '-o', 'size=256k,nr_inodes=64,mode=0755', 'small-disk', path)
  mkdirSync(join(path, FILLER))
}

/** What a small disk can suffer from, and how it gets well. */
export const TROUBLES: readonly Trouble[] = [
  { title: 'the disk is full', begin: (disk) => fill(disk, Buffer.alloc(4096, 1)), end: empty },
  { title: 'the disk has no inodes left', begin: (disk) => fill(disk, Buffer.alloc(0)), end: empty },
  {
    title: 'the disk is read-only',
    begin: (disk) => mount('-o', 'remount,ro', disk),
    end: (disk) => mount('-o', 'remount,rw', disk),
  },
]

/** Makes files until no more can be made or written. */
function fill(disk: string, content: Buffer): void {
  try {
    for (let i = 0; ; i++) writeFileSync(join(disk, FILLER, String(i)), content)
  } catch (error) {
    if (codeOf(error) !== 'ENOSPC') throw error
  }
}

function empty(disk: string): void {
  rmSync(join(disk, FILLER), { recursive: true })
  mkdirSync(join(disk, FILLER))
}
