import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InstalledPlugin } from '../support/installed-plugin.ts'
import { CHECKOUT_INSIDE } from '../support/nspawn.ts'

const CASES = [
  { args: '--role identity,node', passed: 29, skipped: 73 },
  { args: '--role identity,node,controller --fuse-host detached', passed: 48, skipped: 54 },
]

describe('csi-sanity against the plugin under systemd', () => {
  for (const { args, passed, skipped } of CASES) {
    it(`passes ${passed} specs and skips ${skipped} with ${args}, and leaves nothing`, async () => {
      await using plugin = await InstalledPlugin.start(args)
      const { machine } = plugin
      const folders = ['-csi.mountdir', '/tmp/target', '-csi.stagingdir', '/tmp/staging']
      const socket = ['-csi.endpoint', 'unix:///run/dummy-fuse-csi/csi.sock', '-ginkgo.no-color']
      const { status, stdout } = await machine.run(`${CHECKOUT_INSIDE}/.cache/bin/csi-sanity`, [...socket, ...folders], {
        timeout: 120_000,
      })
      assert.match(stdout, new RegExp(` ${passed} Passed \\| 0 Failed \\| 1 Pending \\| ${skipped} Skipped`), stdout)
      assert.equal(status, 0)
      assert.deepEqual((await plugin.status()).volumes, [])
      assert.deepEqual(await plugin.daemons(), [])
      assert.equal((await machine.run('findmnt', ['--types', 'fuse.dummy-fuse'])).stdout, '')
    })
  }
})
