import assert from 'node:assert/strict'
import { existsSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { mount } from '../support/mounts.ts'
import { DIST, EXECUTABLE } from '../support/paths.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** A mounted directory that was removed where it came from: nothing can be made in it any more. */
function removed(sandbox: Sandbox): string {
  const [folder, mounted] = [sandbox.directory('h'), sandbox.directory('k')]
  mount('--bind', folder, mounted)
  rmdirSync(folder)
  return mounted
}

describe('a directory that cannot be made', () => {
  it('fails its call with the path and ENOENT, and nobody else waits', async (t) => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.stage()
    const well = new Volume(sandbox, plugin, 'well')
    await well.stage()
    const many = mountCapability('MULTI_NODE_READER_ONLY')
    const places = { 'a removed directory': removed(sandbox), 'a process of /proc': `/proc/${process.pid}` }
    for (const [title, place] of Object.entries(places)) {
      const below = join(place, 'pods', 'mount')
      const calls: Readonly<Record<string, () => Promise<void>>> = {
        Stage: async () => await plugin.stage('other', below),
        'Publish to': async () => await plugin.publish(volume.id, volume.staging, below, { capability: many }),
        'Publish from': async () => await plugin.publish('other', below, join(sandbox.path, 'free')),
      }
      for (const [rpc, call] of Object.entries(calls)) {
        await t.test(`${rpc} below ${title}`, async () => {
          const [{ code, details }, reasons] = await Promise.all([outcome(call()), well.reasons()])
          assert.ok(['UNAVAILABLE', 'FAILED_PRECONDITION'].includes(code), `${code}: ${details}`)
          assert.ok(details.includes(place) && details.includes('ENOENT'), details)
          assert.deepEqual(reasons, [])
        })
      }
    }
    await volume.publish()
    assert.ok(!existsSync(join(sandbox.path, 'free')))
    const { status } = await plugin.stop()
    assert.equal(status, 0, 'it takes no notice of SIGTERM')
  })

  it('ends a program, which names it', async (t) => {
    await using sandbox = new Sandbox()
    const below = join(removed(sandbox), 'x', 'y')
    const own = ['--endpoint', `unix://${sandbox.path}/csi.sock`, '--state-dir', `${sandbox.path}/state`]
    const fused = ['--socket', `${sandbox.path}/fused.sock`, '--state-dir', `${sandbox.path}/fused`]
    const programs: Readonly<Record<string, readonly [file: string, ...args: string[]]>> = {
      'serve, its state folder': [EXECUTABLE, 'serve', ...own, '--state-dir', below],
      'serve, its socket': [EXECUTABLE, 'serve', ...own, '--endpoint', `unix://${below}`],
      'dummy-fused, its state folder': [join(DIST, 'dummy-fused'), ...fused, '--state-dir', below],
      'dummy-fused, its socket': [join(DIST, 'dummy-fused'), ...fused, '--socket', below],
      'dummy-fuse, its mount point': [join(DIST, 'dummy-fuse'), below],
    }
    for (const [title, [file, ...args]] of Object.entries(programs)) {
      await t.test(title, async () => {
        const { status, signal, stderr } = await sandbox.run(file, args, { timeout: 30_000 })
        assert.equal(signal, null, 'it had to be killed')
        assert.notEqual(status, 0)
        const [line = ''] = stderr.split('\n').filter((one) => one.includes(join(below, '..')))
        assert.match(line, /no such/, stderr)
      })
    }
  })
})
