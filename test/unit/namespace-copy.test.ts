import assert from 'node:assert/strict'
import { chdir, cwd } from 'node:process'
import { readdirSync, readlinkSync, rmdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc, MNT_DETACH } from '../../src/os/libc.ts'
import { NamespaceCopy } from '../../src/os/mounts/namespace-copy.ts'
import { layersAt, mount } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'

const libc = new Libc(new AddonLoader())

const namespace = (): string => readlinkSync('/proc/thread-self/ns/mnt')

const openFiles = (): number => readdirSync('/proc/self/fd').length

describe('NamespaceCopy', () => {
  it('changes this namespace by what propagates, and by nothing else', async () => {
    await using sandbox = new Sandbox()
    const [shared, own] = ['shared', 'own'].map((name) => {
      const path = sandbox.directory(name)
      mount('-t', 'tmpfs', name, path)
      mount(name === 'shared' ? '--make-shared' : '--make-private', path)
      const below = sandbox.directory(name, 'below')
      mount('-t', 'tmpfs', 'below', below)
      return below
    }) as [string, string]
    const before = namespace()
    using copy = new NamespaceCopy(libc)
    assert.equal(namespace(), before)
    copy.within(() => {
      assert.notEqual(namespace(), before)
      for (const path of [shared, own]) libc.umount(path, MNT_DETACH)
    })
    assert.equal(namespace(), before)
    assert.deepEqual([layersAt(shared).length, layersAt(own).length], [0, 1])
  })

  it('brings the thread back to its working directory, also after a failure, and leaves nothing open', async () => {
    await using sandbox = new Sandbox()
    const home = cwd()
    const before = [namespace(), readlinkSync('/proc/thread-self/root'), openFiles()]
    const directory = sandbox.directory('here')
    chdir(directory)
    try {
      using copy = new NamespaceCopy(libc)
      const fail = (): never => {
        throw new Error('in the copy')
      }
      assert.throws(() => copy.within(fail), /^Error: in the copy$/)
      assert.equal(readlinkSync('/proc/thread-self/cwd'), directory)
      // Whether it is the same mount: the directory can be removed by the name that it has here.
      chdir(home)
      rmdirSync(directory)
    } finally {
      chdir(home)
    }
    assert.deepEqual([namespace(), readlinkSync('/proc/thread-self/root'), openFiles()], before)
  })
})
