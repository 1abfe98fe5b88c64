import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UsageError } from '../../src/errors.ts'
import { parsePluginOptions } from '../../src/programs/plugin/options.ts'

describe('serve --daemons', () => {
  it('is per-volume unless it is given', () => {
    assert.equal(parsePluginOptions([], {}).daemons, 'per-volume')
    assert.equal(parsePluginOptions(['--daemons', 'shared'], {}).daemons, 'shared')
    assert.equal(parsePluginOptions(['--daemons', 'shared', '--fuse-host', 'detached'], {}).daemons, 'shared')
    assert.equal(parsePluginOptions(['--daemons', 'per-volume', '--fuse-host', 'service'], {}).fuseHost, 'service')
  })

  const WRONG: { name: string; args: string[]; says: RegExp }[] = [
    {
      name: 'shared with --fuse-host service',
      args: ['--fuse-host', 'service'],
      says: /--daemons shared is for --fuse-host child and detached; .*leave out --daemons/,
    },
    {
      name: 'shared with --fuse-backend fuse-native',
      args: ['--fuse-backend', 'fuse-native'],
      says: /--daemons shared serves by sessions of its own; leave out --fuse-backend, or use --daemons per-volume/,
    },
    {
      name: 'shared with --daemonize early',
      args: ['--daemonize', 'early'],
      says: /--daemonize early is a flaw of daemons of one volume; use --daemons per-volume/,
    },
    {
      name: 'shared with a state folder that is too deep for a socket',
      args: ['--state-dir', `/${'d'.repeat(100)}`],
      says: /fused\.sock, which is longer than the 107 bytes of a socket's path; name a shorter --state-dir/,
    },
  ]
  for (const { name, args, says } of WRONG) {
    it(`is refused, with what to do, as ${name}`, () => {
      const parse = (): unknown => parsePluginOptions(['--daemons', 'shared', ...args], {})
      assert.throws(parse, (error) => error instanceof UsageError && says.test(error.message))
    })
  }

  it('is refused where it is neither', () => {
    assert.throws(() => parsePluginOptions(['--daemons', 'one'], {}), /Allowed choices are per-volume, shared/)
  })
})

describe('serve --restore-mounts', () => {
  for (const [args, restoreMounts, restoreMode] of [
    [[], true, 'replace'],
    [['--restore-mounts'], true, 'replace'],
    [['--restore-mounts', '--fuse-host', 'child'], true, 'replace'],
    [['--restore-mounts=replace'], true, 'replace'],
    [['--restore-mounts', 'stack'], true, 'stack'],
    [['--restore-mounts=stack'], true, 'stack'],
    [['--restore-mounts=stack', '--restore-mounts'], true, 'replace'],
    [['--no-restore-mounts'], false, 'replace'],
    [['--no-restore-mounts', '--restore-mounts=stack'], true, 'stack'],
  ] as const) {
    it(`restores ${restoreMounts ? `by ${restoreMode}` : 'nothing'} with '${args.join(' ')}'`, () => {
      const options = parsePluginOptions(args, {})
      assert.deepEqual([options.restoreMounts, options.restoreMode], [restoreMounts, restoreMode])
    })
  }

  it('is refused with another mode', () => {
    for (const mode of ['', 'true', 'STACK', 'stack,replace'])
      assert.throws(
        () => parsePluginOptions([`--restore-mounts=${mode}`], {}),
        (error) => error instanceof UsageError && error.message.includes('Allowed choices are replace, stack'),
      )
  })
})

describe('serve --drivername', () => {
  const names = {
    valid: [
      'a',
      '7',
      'csi.s3.v2',
      'ends-with-1',
      '3fs.csi',
      'A.B',
      'x'.repeat(63),
      `${'x.'.repeat(31)}x`,
      'a--b',
      'dummy-fuse-csi',
    ],
    invalid: ['', ' ', '-a', 'a-', '.a', 'a.', 'a..b', 'a.-b', 'a-.b', 'a_b', 'a/b', 'a b', 'a\n', 'ä', 'x'.repeat(64), '.', '-'],
  }

  for (const name of names.valid) {
    it(`may be ${name}`, () => {
      assert.equal(parsePluginOptions(['--drivername', name], {}).driverName, name)
    })
  }

  for (const name of names.invalid) {
    it(`may not be ${JSON.stringify(name)}`, () => {
      const parse = (): unknown => parsePluginOptions(['--drivername', name], {})
      assert.throws(parse, (error) => error instanceof UsageError && error.message.includes('is no plugin name: up to 63 letters'))
    })
  }
})

describe('serve --kubelet-registration-dir', () => {
  it('names the socket of --endpoint to the kubelet, unless another path is given', () => {
    const args = ['--endpoint', 'unix:///csi/csi.sock', '--kubelet-registration-dir', '/registration']
    assert.deepEqual(parsePluginOptions(args, {}).registration, { folder: '/registration', endpoint: '/csi/csi.sock' })
    const path = ['--kubelet-registration-path', '/var/lib/kubelet/plugins/dummy/csi.sock']
    assert.equal(parsePluginOptions([...args, ...path], {}).registration?.endpoint, '/var/lib/kubelet/plugins/dummy/csi.sock')
    assert.equal(parsePluginOptions([], {}).registration, undefined)
  })

  const WRONG: Readonly<Record<string, readonly [args: readonly string[], says: RegExp]>> = {
    'a path without the folder': [['--kubelet-registration-path', '/csi.sock'], /does nothing without --kubelet-registration-dir/],
    'no Node service': [['--kubelet-registration-dir', '/r', '--role', 'identity,controller'], /add node to --role/],
    'a folder that is too deep for a socket': [['--kubelet-registration-dir', `/${'d'.repeat(100)}`], /longer than the 107 bytes/],
    'a path that is not absolute': [
      ['--kubelet-registration-dir', '/r', '--kubelet-registration-path', 'csi.sock'],
      /not an absolute path/,
    ],
  }
  for (const [name, [args, says]] of Object.entries(WRONG)) {
    it(`is refused with ${name}`, () => {
      assert.throws(
        () => parsePluginOptions(args, {}),
        (error) => error instanceof UsageError && says.test(error.message),
      )
    })
  }
})
