import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

it('scripts/demo-kubernetes shows the three demonstrations', { timeout: 900_000 }, async () => {
  await using sandbox = new Sandbox()
  const { status, stdout, stderr } = await sandbox.run(join(ROOT, 'scripts/demo-kubernetes'), ['--no-setup'], { timeout: 800_000 })
  assert.equal(status, 0, stderr + stdout)
  const parts = stdout.split(/^## /m)
  assert.equal(parts.length, 4)
  const [, dead = '', restored = '', restarted = ''] = parts
  for (const part of [dead, restored]) {
    assert.match(part, /Hello world!/)
    assert.match(part, /read \/mnt\/dummy-file\.txt: transport endpoint is not connected/i)
    assert.match(part, /on \/mnt type fuse\.dummy-fuse[^]*-r--r--r-- .* dummy-file\.txt[^]*on \/mnt type fuse\.dummy-fuse/)
    assert.match(part, /ls: .*\/mnt.*: Transport endpoint is not connected/)
  }
  assert.match(dead, /dummy-fuse-pvc +Bound[^]*\/csi\.v1\.Node\/NodePublishVolume/)
  assert.match(restored, /pod "dummy-fuse-pod" deleted[\s\S]*Hello world!/)
  assert.match(restarted, /Events:[^]*Started/)
  assert.match(restarted, /Hello world![\s\S]*transport endpoint is not connected[\s\S]*Hello world!/i)
})
