import assert from 'node:assert/strict'
import { chmodSync } from 'node:fs'
import { describe, it } from 'node:test'
import { SystemError } from '../../src/errors.ts'
import { FusedProcess } from '../support/fused.ts'
import { MAPPED_ROOT, mountIdmapped } from '../support/idmap.ts'
import { GREETING } from '../support/mounts.ts'
import { mountCapability, Plugin, SHARED_DAEMON } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

const FLAGS = ['default_permissions', 'allow_other']

/** What a process of a user sees in a folder: its files' owners and modes, and the text of the one file. */
async function seenBy(sandbox: Sandbox, user: number, folder: string): Promise<string> {
  const args = [`--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--']
  const { stdout, stderr } = await sandbox.run('setpriv', [...args, 'sh', '-c', 'stat -c "%u:%g %a" . *; cat dummy-file.txt'], {
    cwd: folder,
  })
  return stdout + stderr
}

function refused(act: Promise<void>): Promise<void> {
  return assert.rejects(
    act,
    (error) => error instanceof SystemError && error.syscall === 'mount_setattr' && error.code === 'EINVAL',
  )
}

interface Host {
  readonly plugin: Plugin
  /** Has another process serve the same sessions, where the host can. */
  readonly takeOver: () => Promise<void>
}

const HOSTS: Readonly<Record<string, (sandbox: Sandbox) => Promise<Host>>> = {
  child: async (sandbox) => ({ plugin: await Plugin.start(sandbox), takeOver: () => Promise.resolve() }),
  shared: async (sandbox) => ({
    plugin: await Plugin.start(sandbox, SHARED_DAEMON),
    takeOver: () => Promise.resolve(),
  }),
  service: async (sandbox) => {
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', fused.socket] })
    return { plugin, takeOver: () => fused.replace() }
  },
}

describe('an idmapped mount of a target', () => {
  for (const [host, start] of Object.entries(HOSTS)) {
    it(`shows the mapped owners, and is served on after a takeover: ${host}`, async () => {
      await using sandbox = new Sandbox()
      chmodSync(sandbox.path, 0o755)
      const { plugin, takeOver } = await start(sandbox)
      using _plugin = plugin
      const volume = new Volume(sandbox, plugin, 'volume', mountCapability('MULTI_NODE_READER_ONLY', FLAGS))
      await volume.publish()
      const [one, two] = [sandbox.directory('pod'), sandbox.directory('pod-2')]
      await mountIdmapped(sandbox, volume.target, one)
      const plain = await seenBy(sandbox, 0, volume.target)
      assert.match(plain, /^0:0 \d+\n0:0 \d+\nHello world!\n$/)
      const mapped = plain.replaceAll('0:0 ', `${MAPPED_ROOT}:${MAPPED_ROOT} `)
      assert.ok(mapped.endsWith(GREETING))
      for (const user of [0, MAPPED_ROOT, MAPPED_ROOT + 1000]) assert.equal(await seenBy(sandbox, user, one), mapped)

      await takeOver()
      await mountIdmapped(sandbox, volume.target, two)
      for (const folder of [one, two]) assert.equal(await seenBy(sandbox, MAPPED_ROOT, folder), mapped)
      assert.equal(await seenBy(sandbox, 0, volume.target), plain)
    })
  }

  it('fails with EINVAL without default_permissions, and with allow_root, for which each request must name its user', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    for (const [index, flags] of [[], ['allow_other'], ['default_permissions', 'allow_root']].entries()) {
      const volume = new Volume(sandbox, plugin, `volume-${index}`, mountCapability('MULTI_NODE_READER_ONLY', flags))
      await volume.publish()
      await refused(mountIdmapped(sandbox, volume.target, sandbox.directory('pod')))
      assert.match(await seenBy(sandbox, 0, volume.target), /Hello world!\n$/)
    }
  })

  it('fails with EINVAL where libfuse 2.9 serves', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox, { args: ['--fuse-backend', 'fuse-native'] })
    const volume = new Volume(sandbox, plugin, 'volume', mountCapability('MULTI_NODE_READER_ONLY', FLAGS))
    await volume.publish()
    await refused(mountIdmapped(sandbox, volume.target, sandbox.directory('pod')))
  })
})
