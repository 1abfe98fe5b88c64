import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { type Callable, Libc } from '../../src/os/libc.ts'
import { canBePolled, hungUp, sameOpenFile } from '../../src/os/descriptors/open-files.ts'

const libc = new Libc(new AddonLoader())
/** As a container's seccomp profile has it. */
const forbidden = { foreign: () => (() => -1) as unknown as Callable }

const opened: number[] = []
const keep = (fd: number): number => (opened.push(fd), fd)
const copyOf = (fd: number): number => keep(libc.checked('dup', undefined, 'int dup(int)', fd))
const [readEnd, writeEnd] = libc.pipe()
opened.push(readEnd, writeEnd)
const folder = mkdtempSync(join(tmpdir(), 'dummy-fuse-test-'))
const file = keep(openSync(join(folder, 'file'), 'w+'))
const nul = keep(openSync('/dev/null', 'r+'))
const socket = keep(libc.checked('socket', undefined, 'int socket(int, int, int)', 1, 2, 0))

after(() => {
  for (const fd of opened) closeSync(fd)
  rmSync(folder, { recursive: true })
})

describe('sameOpenFile', () => {
  for (const [name, kernel, copiesOfFiles] of [
    ['by kcmp(2)', libc, true],
    ['where kcmp(2) is forbidden', forbidden, false],
  ] as const) {
    it(`tells copies from other openings ${name}`, () => {
      assert.equal(sameOpenFile(kernel, readEnd, copyOf(readEnd)), true)
      assert.equal(sameOpenFile(kernel, socket, copyOf(socket)), true)
      assert.equal(sameOpenFile(kernel, readEnd, writeEnd), false)
      assert.equal(sameOpenFile(kernel, nul, keep(openSync('/dev/null', 'r+'))), false)
      assert.equal(sameOpenFile(kernel, file, keep(openSync(join(folder, 'file'), 'r+'))), false)
      // Two descriptors of /dev/fuse look like this, and are two mounts: none of them may be taken for the other.
      assert.equal(sameOpenFile(kernel, nul, copyOf(nul)), copiesOfFiles)
    })
  }
})

describe('hungUp', () => {
  it('finds the ends of pipes that have no other end', () => {
    const [gone, lonely] = libc.pipe()
    closeSync(gone)
    opened.push(lonely)
    assert.deepEqual(hungUp(libc, [readEnd, lonely, writeEnd]), [lonely])
    assert.deepEqual(hungUp(libc, []), [])
  })

  it('is not asked of files, whose file system might not answer', () => {
    assert.deepEqual([readEnd, socket, nul, file].map(canBePolled), [true, true, true, false])
  })
})
