import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseMountinfo, topmostAt } from '../../src/os/mounts/mountinfo.ts'

const LINES = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:45 / /mnt/a\\040b\\011c\\012d\\134e\\043f rw,nosuid,nodev,relatime shared:7 master:3 propagate_from:2 - fuse.dummy-fuse dummy-fuse rw,user_id=0,group_id=0
41 27 0:46 /sub/dir /bind ro,relatime unbindable - tmpfs tmp\\040fs rw
42 27 0:47 / /empty rw - fuse  rw
`

describe('parseMountinfo', () => {
  const lines = parseMountinfo(LINES)

  it('gives a line for each mount, in order', () => {
    assert.deepEqual(
      lines.map(({ id, parentId, device }) => [id, parentId, device]),
      [
        [22, 27, '0:21'],
        [27, 1, '254:0'],
        [40, 27, '0:45'],
        [41, 27, '0:46'],
        [42, 27, '0:47'],
      ],
    )
  })

  it('takes the escapes out of paths and sources', () => {
    assert.equal(lines[2]?.mountPoint, '/mnt/a b\tc\nd\\e#f')
    assert.equal(lines[3]?.source, 'tmp fs')
  })

  it('reads type, source, root, propagation and whether the mount itself is read-only', () => {
    assert.deepEqual(
      lines.map(({ fsType, source }) => [fsType, source]),
      [
        ['proc', 'proc'],
        ['ext4', '/dev/vda'],
        ['fuse.dummy-fuse', 'dummy-fuse'],
        ['tmpfs', 'tmp fs'],
        ['fuse', ''],
      ],
    )
    assert.equal(lines[3]?.root, '/sub/dir')
    assert.deepEqual(
      lines.map(({ readonly }) => readonly),
      [false, false, false, true, false],
    )
    assert.deepEqual(lines[2]?.propagation, ['shared:7', 'master:3', 'propagate_from:2'])
    assert.deepEqual(lines[0]?.propagation, [])
  })

  it('skips what is no line', () => {
    assert.deepEqual(parseMountinfo(''), [])
    assert.deepEqual(parseMountinfo('\n\nrubbish\n1 2 - x\n'), [])
  })

  it('reads back every path as the kernel escapes it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (name) => {
        // fs/proc_namespace.c mangles these five.
        const escaped = name.replaceAll(/[ \t\n\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
        const [line] = parseMountinfo(`1 0 0:1 / /x${escaped} rw - tmpfs tmpfs rw\n`)
        assert.equal(line?.mountPoint, `/x${name}`)
      }),
    )
  })
})

describe('topmostAt', () => {
  const at = (text: string, path: string): number | undefined => topmostAt(parseMountinfo(text), path)?.id
  const root = '1 0 8:1 / / rw - ext4 d rw\n'
  const mount = (id: number, parent: number, path: string): string => `${id} ${parent} 0:${id} / ${path} rw - tmpfs t rw\n`

  it('is the mount at just that path, or none', () => {
    const text = root + mount(2, 1, '/a')
    assert.deepEqual(
      [at(text, '/'), at(text, '/a'), at(text, '/a/b'), at(text, '/ab'), at(text, '/b')],
      [1, 2, undefined, undefined, undefined],
    )
  })

  it('is the one on top of several, in whatever order they are listed', () => {
    assert.equal(at(root + mount(2, 1, '/a') + mount(3, 2, '/a'), '/a'), 3)
    assert.equal(at(root + mount(3, 2, '/a') + mount(2, 1, '/a'), '/a'), 3)
  })

  it('is none that is hidden because a directory above it was mounted over', () => {
    const text = root + mount(2, 1, '/a/b') + mount(3, 1, '/a')
    assert.equal(at(text, '/a/b'), undefined)
    assert.equal(at(text + mount(4, 3, '/a/b'), '/a/b'), 4)
  })

  it('follows mounts below mounts', () => {
    const text = root + mount(2, 1, '/a') + mount(3, 2, '/a/b') + mount(4, 3, '/a/b/c')
    assert.deepEqual([at(text, '/a/b'), at(text, '/a/b/c')], [3, 4])
  })

  it('finds mounts in a chroot, whose own root is in no line', () => {
    assert.equal(at(mount(2, 900, '/proc') + mount(3, 900, '/a/b'), '/a/b'), 3)
  })

  it('takes a root that is its own parent', () => {
    assert.equal(at('1 1 0:2 / / rw - rootfs rootfs rw\n' + mount(2, 1, '/a'), '/a'), 2)
  })
})
