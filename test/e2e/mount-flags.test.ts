import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { mountAt, optionsAt, serves } from '../support/mounts.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** Starts a plugin for each way to host a session, in a sandbox of its own. */
const HOSTS: Readonly<Record<string, (sandbox: Sandbox) => Promise<Plugin>>> = {
  child: (sandbox) => Plugin.start(sandbox, { args: ['--fuse-host', 'child'] }),
  detached: (sandbox) => Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] }),
  shared: (sandbox) => Plugin.start(sandbox, { args: ['--fuse-host', 'child', '--daemons', 'shared'], callDeadline: 60 }),
  service: async (sandbox) => {
    const fused = await FusedProcess.start(sandbox)
    return await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', fused.socket] })
  },
  'child with libfuse': (sandbox) => Plugin.start(sandbox, { args: ['--fuse-backend', 'fuse-native'] }),
}

/** Lists that cannot work, and what the answer names. */
const IMPOSSIBLE: readonly (readonly [flags: readonly string[], said: RegExp])[] = [
  [['max_read=4294967296'], /'max_read'.*from 0 to 4294967295.*got 'max_read=4294967296'/],
  [['max_read=08'], /'max_read'.*without zeros in front/],
  [['max_read='], /'max_read' needs a value/],
  [['max_readahead=99999999999'], /'max_readahead'/],
  [['max_background=-1'], /'max_background'/],
  [['congestion_threshold=1.5'], /'congestion_threshold'/],
  [['uid=4294967295'], /'uid'/],
  [['gid=4294967296'], /'gid'/],
  [['attr_timeout=1e9'], /'attr_timeout'/],
  [['entry_timeout=18446744073709551616'], /'entry_timeout'/],
  [[`fsname=${'x'.repeat(256)}`], /'fsname' needs a value, a text of 1 to 255 bytes/],
  [['fd=3'], /'fd' is what the daemon itself tells the kernel/],
  [['rootmode=40000'], /'rootmode'/],
  [['user_id=1'], /'user_id'/],
  [['blksize=4096'], /'blksize' belongs to file systems on a block device/],
  [['mand'], /'mand' is refused by the kernel/],
  [['remount'], /'remount' changes a mount that is there/],
  [['bind'], /'bind' is about a mount that is there/],
  [['rshared'], /'rshared' changes the propagation/],
  [['auto_unmount'], /'auto_unmount' needs fusermount/],
  [['debug'], /'debug' is an option of the command dummy-fuse alone/],
  [['subtype=other'], /'subtype=other' would disguise the mount/],
  [['ro', 'sparkle', 'noexec'], /unknown mount option 'sparkle'/],
  [Array.from({ length: 300 }, (_, n) => `fsname=${'x'.repeat(9)}${n}`), /bytes in all; the CSI spec allows 4096/],
]

/** Lists with contradictions, and options that the mount table shows, and does not show, for the staging path and for the target. */
const SETTLED: readonly (readonly [flags: readonly string[], there: readonly string[], absent: readonly string[]])[] = [
  [
    ['ro', 'noexec', 'dev', 'nosuid', 'noatime', 'diratime', 'allow_other', 'max_read=4096', 'rw', 'exec', 'nodev', 'suid'],
    ['rw', 'nodev', 'noatime', 'allow_other', 'max_read=4096'],
    ['ro', 'noexec', 'nosuid', 'nodiratime', 'relatime'],
  ],
  [
    [
      'rw',
      'exec',
      'noatime',
      'nodev',
      'allow_root',
      'max_read=4096',
      'strictatime',
      'nodiratime',
      'noexec',
      'ro',
      'dev',
      'max_read=8192',
    ],
    ['ro', 'nosuid', 'noexec', 'nodiratime', 'allow_other', 'max_read=8192'],
    ['rw', 'nodev', 'noatime', 'relatime'],
  ],
  [['allow_other', 'allow_root', 'strictatime', 'relatime'], ['rw', 'nosuid', 'nodev', 'relatime', 'allow_other'], ['noatime']],
  [['sync', 'dirsync', 'async', 'nosymfollow', 'fsname=a', 'fsname=b'], ['nosymfollow', 'dirsync'], ['sync']],
]

describe('the mount flags of a capability', () => {
  for (const [host, start] of Object.entries(HOSTS)) {
    it(`are INVALID_ARGUMENT where they cannot work, and of two that contradict each other the later counts: ${host}`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await start(sandbox)
      for (const [flags, said] of IMPOSSIBLE) {
        const volume = new Volume(sandbox, plugin, 'refused', mountCapability('MULTI_NODE_READER_ONLY', flags))
        for (const call of [() => volume.stage(), () => volume.publish()]) {
          const { code, details } = await outcome(call())
          assert.equal(code, 'INVALID_ARGUMENT', `${flags.join()}: ${details}`)
          assert.match(details, said)
        }
      }
      assert.deepEqual([...sandbox.mounts(), ...plugin.entries()], [])
      assert.doesNotMatch(plugin.log(), /exec dummy-fuse|ask dummy-fused/)

      for (const [index, [flags, there, absent]] of SETTLED.entries()) {
        const volume = new Volume(sandbox, plugin, `volume-${index}`, mountCapability('MULTI_NODE_READER_ONLY', flags))
        await volume.stage()
        await volume.publish()
        for (const path of [volume.staging, volume.target]) {
          const options = optionsAt(path)
          for (const option of there)
            assert.ok(options.includes(option), `${flags.join()}: ${path} lacks ${option}: ${options.join()}`)
          for (const option of absent)
            assert.ok(!options.includes(option), `${flags.join()}: ${path} has ${option}: ${options.join()}`)
        }
        assert.ok(await serves(sandbox, volume.target))
        // The same request, and one that means the same, are no other capability.
        await volume.stage()
        await volume.publish()
        await new Volume(sandbox, plugin, volume.id, mountCapability('MULTI_NODE_READER_ONLY', [...flags, ...flags])).publish()
        await volume.unpublish()
        await volume.unstage()
      }
      assert.deepEqual([...sandbox.mounts(), ...plugin.entries()], [])
    })
  }

  it('have the super block marked lazytime, which libfuse 2.9 cannot', async () => {
    await using sandbox = new Sandbox()
    const capability = mountCapability('MULTI_NODE_READER_ONLY', ['nolazytime', 'lazytime'])
    using plugin = await Plugin.start(sandbox)
    const volume = new Volume(sandbox, plugin, 'volume', capability)
    await volume.publish()
    assert.ok(optionsAt(volume.target).includes('lazytime'))
    using libfuse = await Plugin.start(sandbox, { name: 'libfuse', args: ['--fuse-backend', 'fuse-native'] })
    const { code, details } = await outcome(new Volume(sandbox, libfuse, 'other', capability).stage())
    assert.equal(code, 'INVALID_ARGUMENT')
    assert.match(details, /'lazytime' is unknown to the backend fuse-native/)
  })

  it('name the source that the mount table shows, the last fsname= of several', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const volume = new Volume(
      sandbox,
      plugin,
      'volume',
      mountCapability('MULTI_NODE_READER_ONLY', ['fsname=a', `fsname=${'b'.repeat(255)}`]),
    )
    await volume.publish()
    assert.equal(mountAt(volume.target).source, 'b'.repeat(255))
  })
})
