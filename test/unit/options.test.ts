import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UsageError } from '../../src/errors.ts'
import {
  checkMountFlags,
  checkMountOptions,
  DEFAULT_OPTIONS,
  parseMountOptions,
  podMountOptions,
  settleMountOptions,
} from '../../src/fuse/mount-option-rules.ts'
import { parseFuseOptions } from '../../src/programs/dummy-fuse/options.ts'

describe('parseMountOptions', () => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    'ro,allow_other': ['ro', 'allow_other'],
    ',,ro,,': ['ro'],
    '': [],
    'fsname=a\\,b,ro': ['fsname=a\\,b', 'ro'],
    'fsname=a=b': ['fsname=a=b'],
    'attr_timeout=0.5,max_read=4294967295,umask=0022,uid=4294967294': [
      'attr_timeout=0.5',
      'max_read=4294967295',
      'umask=0022',
      'uid=4294967294',
    ],
    'defaults,_netdev,nofail,user,users,nouser,owner,group,auto,noauto,ro': ['ro'],
    'x-systemd.automount,X-foo=1,comment=a b,user=joe,helper=h,uhelper=u,silent,loud,nomand,noiversion,rw': ['rw'],
    'nodiratime,strictatime,relatime,norelatime,lazytime,sync,dirsync,nosymfollow': [
      'nodiratime',
      'strictatime',
      'relatime',
      'norelatime',
      'lazytime',
      'sync',
      'dirsync',
      'nosymfollow',
    ],
  }
  for (const [text, expected] of Object.entries(cases)) {
    it(`splits '${text}'`, () => {
      assert.deepEqual(parseMountOptions(text), expected)
    })
  }

  for (const text of [
    'nope,ro',
    'RO',
    ' ro',
    'fsname',
    'uid=-1',
    'uid=4294967295',
    'uid=4294967296',
    'umask=9',
    'ro=',
    'toString',
    'attr_timeout=1e3',
    'attr_timeout=4294967296',
    'auto_unmount',
    'max_read=4294967296',
    'max_read=010',
    'max_background=99999999999999999999',
    `fsname=${'x'.repeat(256)}`,
    `subtype=${'x'.repeat(256)}`,
    'fsname=a\0b',
    'fd=3',
    'rootmode=40000',
    'user_id=0',
    'group_id=0',
    'blksize=512',
    'mand',
    'iversion',
    'remount',
    'bind',
    'rshared',
    'setuid=joe',
    'drop_privileges',
    'x',
  ]) {
    it(`throws at ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseMountOptions(text),
        (error) => error instanceof UsageError && error.message.includes(`'${text.split(/[=,]/, 1)[0] ?? ''}`),
      )
    })
  }

  it('knows its own defaults', () => {
    assert.deepEqual(checkMountOptions(DEFAULT_OPTIONS), DEFAULT_OPTIONS)
  })
})

describe('settleMountOptions', () => {
  const PAIRS: readonly (readonly [string, string])[] = [
    ['ro', 'rw'],
    ['suid', 'nosuid'],
    ['dev', 'nodev'],
    ['exec', 'noexec'],
    ['sync', 'async'],
    ['atime', 'noatime'],
    ['diratime', 'nodiratime'],
    ['relatime', 'norelatime'],
    ['strictatime', 'nostrictatime'],
    ['relatime', 'strictatime'],
    ['relatime', 'noatime'],
    ['strictatime', 'noatime'],
    ['lazytime', 'nolazytime'],
    ['symfollow', 'nosymfollow'],
    ['allow_other', 'allow_root'],
    ['async_read', 'sync_read'],
    ['auto_cache', 'noauto_cache'],
    ['max_read=4096', 'max_read=8192'],
    ['fsname=a', 'fsname=b'],
    ['direct_io', 'direct_io'],
  ]
  for (const [one, other] of PAIRS) {
    it(`keeps the later of ${one} and ${other}`, () => {
      assert.deepEqual(settleMountOptions([one, 'dirsync', other]), ['dirsync', other])
      assert.deepEqual(settleMountOptions([other, 'dirsync', one]), ['dirsync', one])
    })
  }

  it('keeps what does not contradict', () => {
    const options = ['ro', 'nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime', 'kernel_cache', 'auto_cache', 'direct_io']
    assert.deepEqual(settleMountOptions(options), options)
  })
})

describe('podMountOptions', () => {
  it('settles the options that change nothing but the pod’s own volume', () => {
    assert.deepEqual(podMountOptions('rw,allow_other,noexec,ro,uid=1000,x-a,umask=022'), [
      'allow_other',
      'noexec',
      'ro',
      'uid=1000',
      'umask=022',
    ])
    assert.deepEqual(podMountOptions(''), [])
  })

  for (const option of [
    'suid',
    'dev',
    'fsname=/dev/sda',
    'subtype=ext4',
    'max_background=65535',
    'max_read=4096',
    'debug',
    'allow_root',
    'nonempty',
  ]) {
    it(`refuses ${option}`, () => {
      const [name = ''] = option.split('=')
      assert.throws(
        () => podMountOptions(`ro,${option}`),
        (error) => error instanceof UsageError && error.message.includes(`a pod may not set mount option '${name}'`),
      )
    })
  }

  it('refuses what no one may give', () => {
    assert.throws(() => podMountOptions('sparkle'), /unknown mount option 'sparkle'/)
    assert.throws(() => podMountOptions('uid=x'), /needs a value/)
  })
})

describe('checkMountFlags', () => {
  it('settles what it takes', () => {
    assert.deepEqual(checkMountFlags(['ro', 'defaults', 'allow_other', 'rw', 'allow_root', 'x-a']), ['rw', 'allow_root'])
  })

  for (const flags of [['fsname=a,b'], ['fsname=a\\'], ['fsname=a\nb'], ['subtype=x'], ['debug'], [''], ['ro', 'sparkle']]) {
    it(`throws at ${JSON.stringify(flags)}`, () => {
      assert.throws(() => checkMountFlags(flags), UsageError)
    })
  }

  it('takes 4096 bytes in all, and no more', () => {
    const flags = Array.from({ length: 2048 }, () => 'ro')
    assert.deepEqual(checkMountFlags(flags), ['ro'])
    assert.throws(() => checkMountFlags([...flags, 'rw']), /4098 bytes in all; the CSI spec allows 4096/)
  })
})

describe('parseFuseOptions', () => {
  it('has the defaults that the help names', () => {
    assert.deepEqual(parseFuseOptions(['/m']), {
      mountpoint: '/m',
      foreground: false,
      debug: false,
      mountOptions: [],
      daemonize: 'wait',
      initTimeout: 10,
      logFile: undefined,
      faults: { mountDelay: 0, mountFail: false, readDelay: 0, initHang: false },
      faultArgs: [],
      dieWithParent: false,
      backend: 'session',
      pollTime: 0.05,
    })
  })

  it('joins several -o, attached and apart, before and behind the mount point', () => {
    const { mountOptions, mountpoint } = parseFuseOptions(['-oro', '/m', '-o', 'allow_other,noexec', '--option=noatime'])
    assert.deepEqual(mountOptions, ['ro', 'allow_other', 'noexec', 'noatime'])
    assert.equal(mountpoint, '/m')
  })

  it('takes letters together', () => {
    const { foreground, debug } = parseFuseOptions(['-fsd', '/m'])
    assert.deepEqual([foreground, debug], [true, true])
  })

  for (const args of [
    ['-d', '/m'],
    ['-o', 'ro,debug', '/m'],
  ]) {
    it(`stays in the foreground with ${args.join(' ')}`, () => {
      const { foreground, debug, mountOptions } = parseFuseOptions(args)
      assert.deepEqual([foreground, debug, mountOptions.includes('debug')], [true, true, false])
    })
  }

  it('makes paths absolute', () => {
    const { mountpoint, logFile } = parseFuseOptions(['--log-file', 'log', 'a/../b/'])
    assert.deepEqual([mountpoint, logFile], [`${process.cwd()}/b`, `${process.cwd()}/log`])
  })
})
