import assert from 'node:assert/strict'
import { chmodSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { describe, it } from 'node:test'
import { PrivateNode } from '../../src/lab/cell/private-node.ts'
import { Timeline } from '../../src/lab/cell/timeline.ts'
import { startClock } from '../../src/lab/clock.ts'
import { MountSnapshot } from '../../src/lab/mount-snapshot.ts'
import { parseMountinfo } from '../../src/os/mounts/mountinfo.ts'

type OnNode = ConstructorParameters<typeof PrivateNode>[1]

const TABLE = parseMountinfo(
  '20 1 8:1 / / rw - ext4 /dev/sda rw\n30 20 0:50 / /a rw - fuse.x x rw\n31 20 0:51 / /b rw - fuse.x x rw\n',
)

/** A node with mounts at /a and /b, whose umount(8) fails for `fails` and notes what it was called for. */
async function unmounted(
  paths: readonly string[],
  fails = '',
): Promise<{ called: string; notes: readonly string[]; error?: unknown }> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'lab-private-node-'))
  const [program, calls] = [join(folder.path, 'umount'), join(folder.path, 'calls')]
  writeFileSync(calls, '')
  writeFileSync(program, `#!/bin/sh\nprintf '%s ' "$*" >> ${calls}\ntest "$3" != '${fails}'\n`)
  chmodSync(program, 0o755)
  const timeline = new Timeline(startClock())
  const node = new PrivateNode(timeline, { mounts: new MountSnapshot(() => TABLE) } as unknown as OnNode)
  const path = process.env.PATH
  process.env.PATH = [folder.path, path].join(delimiter)
  try {
    const error: unknown = await node.unmount(paths).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    return { called: readFileSync(calls, 'utf8'), notes: timeline.events([]).map(({ text }) => text), error }
  } finally {
    process.env.PATH = path
  }
}

describe('an administrator of the node', () => {
  it('unmounts what is mounted, and says where nothing is, whichever comes last', async () => {
    for (const paths of [
      ['/a', '/none', '/b'],
      ['/a', '/b', '/none'],
    ]) {
      const { called, notes, error } = await unmounted(paths)
      assert.equal(error, undefined)
      assert.equal(called, '-n -l /a -n -l /b ')
      assert.deepEqual(notes, ['nothing is mounted at /none'])
    }
  })

  it('fails where nothing is mounted at all, and where one of several cannot be unmounted', async () => {
    assert.match(String((await unmounted(['/none'])).error), /nothing is mounted at \/none/)
    assert.match(String((await unmounted(['/a', '/b'], '/a')).error), /on the node: set -e; umount -n -l \/a; .*: exit status 1: /)
  })
})
