import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { misnamedFile } from '../../src/lab/driver/findings.ts'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import type { MountedAt, ReadSeen } from '../../src/lab/driver/seen.ts'

const FILE = { name: 'd', start: ['/bin/d'], volume: { id: 'v' }, file: 'f', content: 'Hello' }
const TARGET: MountedAt = { at: 'target', fsType: 'fuse.d', source: 'd', fuse: true, connection: 70 }
const BIND: MountedAt = { ...TARGET, fsType: 'ext4', fuse: false, connection: undefined }

/** What is said of a file in whose trial a read came to this. */
function said(saw: string, mounts: readonly MountedAt[] = [TARGET], file: object = {}): string | undefined {
  const read: ReadSeen = { saw, afterMs: 5001, names: ['g'], held: saw === 'wrong' ? 'Hello\n' : undefined }
  return misnamedFile(parseDriver(JSON.stringify({ ...FILE, ...file }), 'driver.yaml'), { mounts, read })?.what
}

describe('a file that every consumer would read wrong', () => {
  it('is one with another content, or none, on a volume that is mounted', () => {
    assert.match(said('wrong') ?? '', /^f holds "Hello.*", and not the content that the file says/)
    assert.match(said('No such file or directory') ?? '', /^f cannot be read: No such file or directory \(the volume has g\)/)
    assert.match(said('Is a directory') ?? '', /^f cannot be read: Is a directory/)
    assert.match(said('wrong', [BIND], { fuse: false }) ?? '', /^f holds/)
  })

  it('is none where the driver may be the cause', () => {
    const missing = 'No such file or directory'
    assert.equal(said('right'), undefined)
    assert.equal(said(missing, []), undefined)
    assert.equal(said(missing, [BIND]), undefined)
    assert.equal(said('Input/output error'), undefined)
    assert.equal(said(missing, [TARGET], { populate: 'touch {target}/f' }), undefined)
  })
})
