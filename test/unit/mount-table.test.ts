import assert from 'node:assert/strict'
import { symlinkSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { attributesText } from '../../src/os/mounts/mount-flags.ts'
import {
  connectionOfDevice,
  deviceOf,
  MountinfoTable,
  type MountTable,
  openMountTable,
  StatmountTable,
} from '../../src/os/mounts/mount-table.ts'
import { deadMount, hungMount, mountDummyFuse } from '../support/mounting.ts'
import { mount } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'

const libc = new Libc(new AddonLoader())
const statmount = new StatmountTable(libc)
const TABLES: Readonly<Record<string, MountTable>> = {
  'by mountinfo': MountinfoTable.current(),
  ...(statmount.supported() ? { 'by statmount(2)': statmount } : {}),
}

const FUSE = { fsType: 'fuse.dummy-fuse', source: 'dummy-fuse', options: 'rw,nosuid,nodev,relatime' }

/** The mount at a path without what differs from one run to the next; undefined if there is none. */
function mountAt(table: MountTable, path: string): Record<string, unknown> | undefined {
  const state = table.at(path)
  if (state.kind !== 'mount') return undefined
  const { fsType, source, attributes } = state.mount
  return { fsType, source, options: attributesText(attributes) }
}

function deviceAt(table: MountTable, path: string): string | undefined {
  const state = table.at(path)
  return state.kind === 'mount' ? state.mount.device : undefined
}

function idAt(table: MountTable, path: string): string | undefined {
  const state = table.at(path)
  return state.kind === 'mount' ? state.mount.id : undefined
}

for (const [title, table] of Object.entries(TABLES)) {
  describe(`the mount table ${title}`, () => {
    it('tells directories, links, files and what is absent apart', async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('folder')
      writeFileSync(`${sandbox.path}/file`, '')
      symlinkSync('folder', `${sandbox.path}/link`)
      assert.deepEqual(table.at(path), { kind: 'plain', type: 'directory' })
      assert.deepEqual(table.at(`${sandbox.path}/link`), { kind: 'plain', type: 'symlink' })
      assert.deepEqual(table.at(`${sandbox.path}/file`), { kind: 'plain', type: 'other' })
      for (const name of ['nothing', 'nothing/below', 'file/below', 'dangling/below'])
        assert.deepEqual(table.at(`${sandbox.path}/${name}`), { kind: 'absent' }, name)
    })

    it('tells type, source and whether it is read-only', async () => {
      await using sandbox = new Sandbox()
      assert.deepEqual(mountAt(table, await mountDummyFuse(sandbox)), FUSE)
      const readonly = await mountDummyFuse(
        sandbox,
        ['-o', 'ro,noexec,strictatime,nodiratime,nosymfollow,fsname=a b,subtype=c'],
        'two words',
      )
      assert.deepEqual(mountAt(table, readonly), {
        fsType: 'fuse.c',
        source: 'a b',
        options: 'ro,nosuid,nodev,noexec,strictatime,nodiratime,nosymfollow',
      })
      assert.equal(mountAt(table, '/proc')?.fsType, 'proc')
      assert.equal(table.at('/').kind, 'mount')
    })

    it('gives a bind the device of what it binds and an id of its own, read-only by itself', async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox)
      const bind = sandbox.directory('bind')
      await sandbox.run('mount', ['--bind', path, bind])
      await sandbox.run('mount', ['-o', 'remount,bind,ro', bind])
      assert.equal(deviceAt(table, bind), deviceAt(table, path))
      assert.notEqual(idAt(table, bind), idAt(table, path))
      const words = [path, bind].map((one) => String(mountAt(table, one)?.options).split(',')[0])
      assert.deepEqual(words, ['rw', 'ro'])
    })

    it('gives two sessions two devices', async () => {
      await using sandbox = new Sandbox()
      const [one, two] = [await mountDummyFuse(sandbox, [], 'one'), await mountDummyFuse(sandbox, [], 'two')]
      assert.notEqual(deviceAt(table, one), deviceAt(table, two))
    })

    it('tells of the topmost of several mounts, and of the one below when that is gone', async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox)
      await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', path])
      assert.equal(mountAt(table, path)?.fsType, 'tmpfs')
      await sandbox.run('umount', [path])
      assert.equal(mountAt(table, path)?.fsType, 'fuse.dummy-fuse')
      await sandbox.run('umount', [path])
      assert.deepEqual(table.at(path), { kind: 'plain', type: 'directory' })
    })

    it('lists the mounts at a path, the topmost first, with the peer groups of those that are shared', async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox)
      mount('--make-private', path)
      mount('-t', 'tmpfs', 'tmpfs', path)
      mount('--make-shared', path)
      const upper = sandbox.directory('upper')
      mount('--bind', path, upper)
      const [top, bottom, ...others] = table.layers(path)
      assert.deepEqual([top?.fsType, bottom?.fsType, others], ['tmpfs', 'fuse.dummy-fuse', []])
      assert.deepEqual([top?.id, bottom?.peerGroup], [idAt(table, path), undefined])
      assert.match(top?.peerGroup ?? '', /^\d+$/)
      assert.deepEqual(
        table.layers(upper).map(({ peerGroup }) => peerGroup),
        [top?.peerGroup],
      )
      for (const name of ['', '/nothing', '/nothing/below']) assert.deepEqual(table.layers(`${sandbox.path}${name}`), [], name)
      assert.ok(table.layers('/').length > 0)
    })

    it('does not see a mount that lies hidden under one on a directory above', async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox, [], 'above/mnt')
      await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', `${sandbox.path}/above`])
      assert.deepEqual(table.at(path), { kind: 'absent' })
      sandbox.directory('above', 'mnt')
      assert.deepEqual(table.at(path), { kind: 'plain', type: 'directory' })
    })

    it('sees a dead FUSE mount and a bind of it as what they are', async () => {
      await using sandbox = new Sandbox()
      const path = await deadMount(sandbox)
      assert.deepEqual(mountAt(table, path), FUSE)
      const bind = sandbox.directory('bind')
      if ((await sandbox.run('mount', ['--bind', path, bind])).status === 0) assert.deepEqual(mountAt(table, bind), FUSE)
    })

    it('does not wait for a hung FUSE mount', { timeout: 120_000 }, async () => {
      await using sandbox = new Sandbox()
      const path = await hungMount(sandbox)
      assert.deepEqual(mountAt(table, path), FUSE)
    })

    it('follows the links that lead to a mount, but not the last one', async () => {
      await using sandbox = new Sandbox()
      await mountDummyFuse(sandbox, [], 'real/mnt')
      symlinkSync('real', `${sandbox.path}/way`)
      symlinkSync('real/mnt', `${sandbox.path}/link`)
      assert.deepEqual(mountAt(table, `${sandbox.path}/way/mnt`), FUSE)
      assert.deepEqual(table.at(`${sandbox.path}/link`), { kind: 'plain', type: 'symlink' })
    })

    it('reads names with spaces, line feeds and letters of other scripts', async () => {
      await using sandbox = new Sandbox()
      for (const name of ['a b', 'a\nb', 'a\\040b', 'é挂🦆'])
        assert.deepEqual(mountAt(table, await mountDummyFuse(sandbox, [], name)), FUSE, name)
    })

    it('throws for a path that can be nothing', async () => {
      await using sandbox = new Sandbox()
      assert.throws(() => table.at(`${sandbox.path}/${'x'.repeat(256)}`), { code: 'ENAMETOOLONG' })
      symlinkSync('loop', `${sandbox.path}/loop`)
      assert.throws(() => table.at(`${sandbox.path}/loop/below`), { code: 'ELOOP' })
    })
  })
}

describe('openMountTable', () => {
  it('takes statmount(2) just where the kernel answers it in full', () => {
    assert.equal(openMountTable(libc) instanceof StatmountTable, statmount.supported())
  })
})

describe('the device of a connection', () => {
  for (const [connection, device] of [
    [1, '0:1'],
    [0xfffff, '0:1048575'],
    // fuseblk has the number of its block device: 8:1.
    [0x800001, '8:1'],
    [0xfffffffe, '4095:1048574'],
  ] as const)
    it(`is ${device} of ${connection}, and the other way round`, () => {
      assert.equal(deviceOf(connection), device)
      assert.equal(connectionOfDevice(device), connection)
    })
})
