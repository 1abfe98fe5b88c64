import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isAtVolume } from '../../src/lab/cell/node-disk.ts'
import { PROBE } from '../../src/lab/consumer/probe.ts'
import { KUBELET, stagingPath, targetPath } from '../../src/lab/node-paths.ts'

const [TARGET, STAGING] = [targetPath('uid', 'pv'), stagingPath('pv')]
const OTHER = join(KUBELET, 'plugins/kubernetes.io/other/shared')

describe("a file of the node's own disk", () => {
  it('is data past the volume at a target, at a staging path, where FUSE was mounted, and where a consumer has made it', () => {
    for (const path of [
      ...[join(TARGET, 'file'), join(TARGET, 'folder/file'), join(STAGING, 'file'), join(OTHER, 'file')],
      join(TARGET, '..', PROBE),
    ])
      assert.ok(isAtVolume(path, [OTHER]), path)
  })

  it("is the driver's own beside them", () => {
    for (const path of [
      ...[join(TARGET, '../meta.json'), join(STAGING, '../vol_data.json'), `${TARGET}.json`],
      ...[join(KUBELET, 'pods/uid/etc-hosts'), join(OTHER, '../file')],
    ])
      assert.ok(!isAtVolume(path, [OTHER]), path)
  })
})
