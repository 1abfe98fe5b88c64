import assert from 'node:assert/strict'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MountinfoTable } from '../../src/os/mounts/mount-table.ts'
import { VolumeError } from '../../src/volumes/errors.ts'
import { walk as walkTo } from '../../src/volumes/path-walk.ts'
import { mount } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'

/** The mounts in a sandbox on the way to a path below it, relative to it. */
function walk(sandbox: Sandbox, path: string): string[] {
  const inside = [...walkTo(MountinfoTable.current(), join(sandbox.path, path), { last: 'keep' })].map((found) => found.path)
  return inside.filter((found) => found.startsWith(sandbox.path)).map((found) => found.slice(sandbox.path.length))
}

describe('walk', () => {
  it('comes through the mounts above a path, links followed, the path’s own left out', async () => {
    await using sandbox = new Sandbox()
    const outer = sandbox.directory('outer')
    mount('-t', 'tmpfs', 'tmpfs', outer)
    const inner = sandbox.directory('outer', 'inner')
    mount('-t', 'tmpfs', 'tmpfs', inner)
    sandbox.directory('outer', 'inner', 'deep')
    sandbox.directory('plain')
    symlinkSync('../outer/./inner', join(sandbox.path, 'plain', 'relative'))
    symlinkSync(outer, join(sandbox.path, 'plain', 'absolute'))
    symlinkSync('..', join(inner, 'up'))
    symlinkSync('nowhere', join(sandbox.path, 'dangling'))
    writeFileSync(join(sandbox.path, 'file'), '')
    const both = ['/outer', '/outer/inner']
    const rows: Readonly<Record<string, readonly string[]>> = {
      'plain/x': [],
      outer: [],
      'outer/inner': ['/outer'],
      'outer/inner/deep/x': both,
      'plain/relative': [],
      'plain/relative/x': both,
      'plain/absolute/inner/x': both,
      'outer/inner/up/x': [...both, '/outer'],
      'absent/x/y': [],
      'outer/absent/x': ['/outer'],
      'dangling/x': [],
      'file/x': [],
    }
    for (const [path, expected] of Object.entries(rows)) assert.deepEqual(walk(sandbox, path), expected, path)
  })

  it('ends at links in a circle', async () => {
    await using sandbox = new Sandbox()
    symlinkSync('b', join(sandbox.path, 'a'))
    symlinkSync('a', join(sandbox.path, 'b'))
    assert.throws(
      () => walk(sandbox, 'a/x'),
      (error) => error instanceof VolumeError && error.kind === 'invalid',
    )
  })
})
