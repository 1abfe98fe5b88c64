import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FusedProcess } from '../support/fused.ts'
import { Plugin } from '../support/plugin.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import { CSI_SANITY } from '../support/tools.ts'

/** What --fuse-host is followed by. */
const HOSTS = [['child'], ['detached'], ['service'], ['child', '--daemons', 'shared'], ['detached', '--daemons', 'shared']]

/**
 * Specs of csi-sanity 5.6.0: 103, one of them pending. A number that changes is a spec that has begun or ceased to run. The specs of a plugin without a
 * controller are among those of one with it.
 */
const CASES = [
  { role: 'identity,node', hosts: HOSTS.slice(0, 1), passed: 29, skipped: 73 },
  { role: 'identity,node,controller', hosts: HOSTS, passed: 48, skipped: 54 },
]

for (const { role, hosts, passed, skipped } of CASES) {
  for (const args of hosts) {
    const host = args.join(' ')
    void test(`csi-sanity passes ${passed} specs and skips ${skipped} with --role ${role} --fuse-host ${host}, and leaves nothing`, async () => {
      assert.ok(existsSync(CSI_SANITY), `${CSI_SANITY} is missing; run scripts/test --setup-only`)
      await using sandbox = new Sandbox()
      const fused = args[0] === 'service' ? await FusedProcess.start(sandbox, { keep: [] }) : undefined
      const where = fused === undefined ? [] : ['--fused-socket', fused.socket]
      using plugin = await Plugin.start(sandbox, { args: ['--role', role, '--fuse-host', ...args, ...where] })
      const folders = ['-csi.mountdir', join(sandbox.path, 'mount'), '-csi.stagingdir', join(sandbox.path, 'staging')]
      const flags = ['-csi.endpoint', `unix://${plugin.socket}`, '-ginkgo.no-color', ...folders]
      const { status, stdout } = await sandbox.run(CSI_SANITY, flags, { timeout: 240_000 })
      assert.match(stdout, new RegExp(` ${passed} Passed \\| 0 Failed \\| 1 Pending \\| ${skipped} Skipped`), stdout)
      assert.equal(status, 0)
      assert.deepEqual([...plugin.entries(), ...plugin.daemons(), ...sandbox.mounts()], [])
      assert.equal((await sandbox.run('ls', ['-A', join(plugin.stateDir, 'volumes')])).stdout, '')
      if (fused !== undefined) {
        assert.deepEqual([...fused.records(), ...(await fused.paths())], [])
        await eventually('its descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
      }
    })
  }
}
