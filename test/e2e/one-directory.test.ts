import assert from 'node:assert/strict'
import { chownSync, lchownSync, mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startHosted } from '../model/hosts.ts'
import { Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mountAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** Other names of the folder `kubelet` of a sandbox, and of what is in it. */
function aliases(sandbox: Sandbox): readonly string[] {
  const real = join(sandbox.path, 'kubelet')
  symlinkSync(real, join(sandbox.path, 'absolute'))
  symlinkSync('kubelet', join(sandbox.path, 'relative'))
  symlinkSync('relative', join(sandbox.path, 'chain'))
  mkdirSync(join(sandbox.path, 'deep'))
  symlinkSync('../deep/../absolute', join(sandbox.path, 'deep', 'up'))
  return ['kubelet', 'absolute', 'relative', 'chain', 'deep/up'].map((name) => join(sandbox.path, name))
}

/** Repeats a call that a busy machine has no time for, as the kubelet does. */
async function persist(call: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const { code, details } = await outcome(call())
    if (code === 'OK') return
    const later = ['DEADLINE_EXCEEDED', 'UNAVAILABLE', 'ABORTED'].includes(code)
    assert.ok(later && attempt < 10, `${code}: ${details}`)
    await sleep(200)
  }
}

/**
 * A volume that is mounted again, one that is found, and one whose path goes to another program. Names are resolved before a host gets them
 * (volumes/mount-points.ts).
 */
const MODES = ['child', 'detached', 'service'] as const

describe('a directory with several names', () => {
  for (const mode of MODES) {
    it(`is one directory to each call: ${mode}`, async () => {
      await using sandbox = new Sandbox()
      const { plugin } = await startHosted(mode, sandbox)
      using _plugin = plugin
      sandbox.directory('kubelet', 'staging')
      const names = aliases(sandbox)
      const [staging, target] = ['staging', 'pods/mount'].map((name) => join(sandbox.path, 'kubelet', name)) as [string, string]
      sandbox.directory('kubelet', 'pods')
      for (const [index, name] of names.entries()) {
        const other = names[(index + 1) % names.length] ?? name
        const third = names[(index + 2) % names.length] ?? name
        await persist(() => plugin.stage('volume', `${name}/staging`))
        await persist(() => plugin.stage('volume', `${other}/staging/`))
        await persist(() => plugin.publish('volume', `${other}/staging`, `${name}/pods/mount`))
        await persist(() => plugin.publish('volume', `${third}/staging`, `${other}/pods/mount`))
        assert.equal((await outcome(plugin.stage('other', `${third}/staging`))).code, 'FAILED_PRECONDITION')
        assert.equal((await outcome(plugin.publish('volume', `${name}/staging`, `${third}/staging`))).code, 'INVALID_ARGUMENT')
        const stats = await plugin.call(Node.method.nodeGetVolumeStats, { volumeId: 'volume', volumePath: `${third}/pods/mount` })
        assert.equal(stats.usage.length, 2)
        assert.deepEqual([layersAt(staging).length, layersAt(target).length], [1, 1])
        assert.equal(plugin.entries().length, 2)
        if (index === 1) {
          await plugin.kill()
          await plugin.restart()
        }
        assert.ok(await serves(sandbox, target), plugin.log())
        await eventually('the volume is well', async () => (await plugin.reasons('volume')).length === 0)
        assert.equal((await outcome(plugin.unstage('volume', `${name}/staging`))).code, 'FAILED_PRECONDITION')
        await persist(() => plugin.unpublish('volume', `${third}/pods/mount`))
        await persist(() => plugin.unstage('volume', `${third}/staging`))
        assert.deepEqual([...layersAt(staging), ...layersAt(target), ...plugin.entries()], [])
      }
    })
  }
})

void test('a symbolic link to the staging directory itself is a name of it, and one at a target binds nothing new', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const staging = sandbox.directory('staging')
  const link = join(sandbox.path, 'link')
  symlinkSync('staging', link)
  await persist(() => plugin.stage('volume', staging))
  await persist(() => plugin.stage('volume', link))
  const target = join(sandbox.path, 'target')
  const targetLink = join(sandbox.path, 'target-link')
  const elsewhere = sandbox.directory('elsewhere')
  await persist(() => plugin.publish('volume', link, target))
  assert.equal(mountAt(target).device, mountAt(staging).device)
  symlinkSync('elsewhere', targetLink)
  const { code, details } = await outcome(plugin.publish('volume', staging, targetLink))
  assert.equal(code, 'FAILED_PRECONDITION')
  assert.match(details, /target-link is a symbolic link/)
  assert.deepEqual(layersAt(elsewhere), [])
  await persist(() => plugin.unpublish('volume', targetLink))
  renameSync(targetLink, join(sandbox.path, 'unused'))
  symlinkSync('target', targetLink)
  await persist(() => plugin.publish('volume', staging, targetLink))
  assert.equal(layersAt(target).length, 1)
  await persist(() => plugin.unpublish('volume', targetLink))
  assert.deepEqual(layersAt(target), [])
  await persist(() => plugin.unstage('volume', link))
  assert.deepEqual([...layersAt(staging), ...plugin.entries()], [])
})

void test('a symbolic link that another user could have put there is not followed', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const outside = sandbox.directory('outside')
  const places: Readonly<Record<string, (folder: string) => string>> = {
    'belongs to user 65534': (folder) => {
      const link = join(folder, 'link')
      symlinkSync(outside, link)
      lchownSync(link, 65534, 65534)
      return link
    },
    'lies in a folder of user 65534': (folder) => {
      symlinkSync(outside, join(folder, 'link'))
      chownSync(folder, 65534, 65534)
      return join(folder, 'link')
    },
  }
  for (const [why, make] of Object.entries(places)) {
    await t.test(why, async () => {
      const link = make(sandbox.directory(why.replaceAll(' ', '-')))
      for (const call of [() => plugin.stage('v', `${link}/staging`), () => plugin.publish('v', `${link}/s`, `${link}/t`)]) {
        const { code, details } = await outcome(call())
        assert.equal(code, 'FAILED_PRECONDITION', details)
        assert.ok(details.includes(`symbolic link ${link}, which ${why}`), details)
      }
    })
  }
  assert.deepEqual([...sandbox.mounts(), ...plugin.entries()], [])
})
