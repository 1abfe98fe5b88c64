import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isAtVolume, probesBelow } from '../../src/lab/cell/node-disk.ts'
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
      ...[join(TARGET, '../meta.json'), TARGET, STAGING, join(STAGING, '../vol_data.json'), `${TARGET}.json`],
      ...[join(KUBELET, 'pods/uid/etc-hosts'), join(OTHER, '../file')],
    ])
      assert.ok(!isAtVolume(path, [OTHER]), path)
  })
})

describe("what a consumer has written on the node's own disk", () => {
  it('is found where a FUSE mount was, and below that, where one volume of several is a folder of it', () => {
    const found = [`/var/lib/jfs/${PROBE}`, `/var/lib/jfs/pvc-1/${PROBE}`]
    const others = ['/var/lib/jfs/pvc-1/cache', `/var/lib/jfs-2/${PROBE}`, `/tmp/${PROBE}`]
    assert.deepEqual(probesBelow(['/var/lib/jfs'], [...found, ...others]), found)
    assert.deepEqual(probesBelow([], [...found, ...others]), [])
  })
})
