import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UsageError } from '../../src/errors.ts'
import { checkMountOption, DEFAULT_OPTIONS, parseMountOptions } from '../../src/fuse/options.ts'
import { parseFuseOptions } from '../../src/programs/dummy-fuse/options.ts'

describe('parseMountOptions', () => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    'ro,allow_other': ['ro', 'allow_other'],
    ',,ro,,': ['ro'],
    '': [],
    'fsname=a\\,b,ro': ['fsname=a\\,b', 'ro'],
    'fsname=a=b': ['fsname=a=b'],
    'attr_timeout=0.5,max_read=4096,umask=0022,uid=4294967295': [
      'attr_timeout=0.5',
      'max_read=4096',
      'umask=0022',
      'uid=4294967295',
    ],
    'defaults,_netdev,nofail,user,ro': ['ro'],
  }
  for (const [text, expected] of Object.entries(cases)) {
    it(`splits '${text}'`, () => {
      assert.deepEqual(parseMountOptions(text), expected)
    })
  }

  for (const text of [
    'ro,nope',
    'RO',
    ' ro',
    'fsname',
    'uid=-1',
    'uid=4294967296',
    'umask=9',
    'ro=',
    'toString',
    'attr_timeout=1e3',
    'auto_unmount',
  ]) {
    it(`throws at '${text}'`, () => {
      assert.throws(() => parseMountOptions(text), UsageError)
    })
  }

  it('knows its own defaults', () => {
    for (const option of DEFAULT_OPTIONS) assert.equal(checkMountOption(option), option)
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
      faultWords: [],
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

  for (const words of [
    ['-d', '/m'],
    ['-o', 'ro,debug', '/m'],
  ]) {
    it(`stays in the foreground with ${words.join(' ')}`, () => {
      const { foreground, debug, mountOptions } = parseFuseOptions(words)
      assert.deepEqual([foreground, debug, mountOptions.includes('debug')], [true, true, false])
    })
  }

  it('makes paths absolute', () => {
    const { mountpoint, logFile } = parseFuseOptions(['--log-file', 'log', 'a/../b/'])
    assert.deepEqual([mountpoint, logFile], [`${process.cwd()}/b`, `${process.cwd()}/log`])
  })
})
