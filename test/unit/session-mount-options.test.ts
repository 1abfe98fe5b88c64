import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DEFAULT_OPTIONS } from '../../src/fuse/mount-option-rules.ts'
import { FOPEN, INIT } from '../../src/fuse/protocol/constants.ts'
import { mountArguments, type SessionSettings, sessionSettings } from '../../src/fuse/session/mount-options.ts'
import type { MountArguments } from '../../src/os/mounts/detached-mount.ts'
import { MS } from '../../src/os/libc.ts'

const PLAIN = MS.NOSUID | MS.NODEV
const DATA = 'rootmode=40000,user_id=0,group_id=0'

describe('mountArguments', () => {
  it('makes the line that the original prints out of the default options', () => {
    assert.deepEqual(mountArguments(DEFAULT_OPTIONS), { source: 'dummy-fuse', type: 'fuse.dummy-fuse', flags: PLAIN, data: DATA })
  })

  const CASES: readonly (readonly [options: readonly string[], expected: Partial<MountArguments>])[] = [
    [[], { source: 'fuse', type: 'fuse', flags: PLAIN, data: DATA }],
    [['ro'], { flags: PLAIN | MS.RDONLY }],
    [['ro', 'rw'], { flags: PLAIN }],
    [['rw', 'ro'], { flags: PLAIN | MS.RDONLY }],
    [['suid', 'dev'], { flags: 0 }],
    [['suid', 'nosuid'], { flags: PLAIN }],
    [['noexec', 'sync', 'dirsync', 'noatime'], { flags: PLAIN | MS.NOEXEC | 16 | 128 | 1024 }],
    [['noexec', 'exec', 'sync', 'async', 'noatime', 'atime'], { flags: PLAIN }],
    [['fsname=a'], { source: 'a', type: 'fuse' }],
    [['subtype=s'], { source: 's', type: 'fuse.s' }],
    [['fsname=a', 'fsname=b', 'subtype=s'], { source: 'b', type: 'fuse.s' }],
    [['fsname=a\\,b=c\\\\'], { source: 'a,b=c\\' }],
    [['allow_other'], { data: `${DATA},allow_other` }],
    [['allow_root'], { data: `${DATA},allow_other` }],
    [['allow_root', 'allow_other'], { data: `${DATA},allow_other` }],
    [['noatime', 'strictatime', 'nodiratime', 'nosymfollow'], { flags: PLAIN | (1 << 24) | 2048 | 256 }],
    [['strictatime', 'noatime', 'lazytime'], { flags: PLAIN | 1024 | (1 << 25) }],
    [['strictatime', 'relatime'], { flags: PLAIN | (1 << 21) }],
    [['noatime', 'norelatime'], { flags: PLAIN | 1024 }],
    [['default_permissions', 'max_read=4096'], { data: `${DATA},default_permissions,max_read=4096` }],
    [['max_read=1', 'max_read=2'], { data: `${DATA},max_read=2` }],
    [['entry_timeout=1', 'direct_io', 'umask=022', 'uid=1', 'debug', 'nonempty'], { flags: PLAIN, data: DATA }],
  ]
  for (const [options, expected] of CASES) {
    it(`takes ${JSON.stringify(options.join(','))}`, () => {
      const found = mountArguments(options)
      assert.deepEqual({ ...found, ...expected }, found)
    })
  }
})

describe('sessionSettings', () => {
  const PLAIN_SETTINGS: SessionSettings = {
    entryTimeout: 1,
    attrTimeout: 1,
    negativeTimeout: 0,
    openFlags: 0,
    umask: undefined,
    uid: undefined,
    gid: undefined,
    allowRoot: false,
    initFlags: INIT.ASYNC_READ,
    maxReadahead: undefined,
    maxBackground: undefined,
    congestionThreshold: undefined,
    writable: undefined,
    debug: false,
  }
  const CASES: readonly (readonly [options: readonly string[], change: Partial<SessionSettings>])[] = [
    [[], {}],
    [[...DEFAULT_OPTIONS], { entryTimeout: 0, attrTimeout: 0 }],
    [['entry_timeout=0.5', 'attr_timeout=60', 'negative_timeout=2'], { entryTimeout: 0.5, attrTimeout: 60, negativeTimeout: 2 }],
    [['attr_timeout=1', 'attr_timeout=7'], { attrTimeout: 7 }],
    [['kernel_cache'], { openFlags: FOPEN.KEEP_CACHE }],
    [['auto_cache'], { openFlags: FOPEN.KEEP_CACHE }],
    [['auto_cache', 'noauto_cache'], {}],
    [['noauto_cache', 'auto_cache'], { openFlags: FOPEN.KEEP_CACHE }],
    [['direct_io'], { openFlags: FOPEN.DIRECT_IO }],
    [['sync_read'], { initFlags: 0n }],
    [['sync_read', 'async_read'], {}],
    [['default_permissions'], { initFlags: INIT.ASYNC_READ | INIT.ALLOW_IDMAP }],
    [['default_permissions', 'sync_read', 'allow_other'], { initFlags: INIT.ALLOW_IDMAP }],
    [['default_permissions', 'allow_root'], { allowRoot: true }],
    [['async_read', 'sync_read'], { initFlags: 0n }],
    [['umask=027', 'uid=1000', 'gid=0'], { umask: 0o27, uid: 1000, gid: 0 }],
    [['umask=0'], { umask: 0 }],
    [['allow_root'], { allowRoot: true }],
    [['allow_other'], {}],
    [['allow_root', 'allow_other'], {}],
    [['allow_other', 'allow_root'], { allowRoot: true }],
    [
      ['max_readahead=0', 'max_background=3', 'congestion_threshold=2'],
      { maxReadahead: 0, maxBackground: 3, congestionThreshold: 2 },
    ],
    [['debug'], { debug: true }],
  ]
  for (const [options, change] of CASES) {
    it(`obeys ${JSON.stringify(options.join(','))}`, () => {
      assert.deepEqual(sessionSettings(options), { ...PLAIN_SETTINGS, ...change })
    })
  }
})
