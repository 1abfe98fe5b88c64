import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { probesBelow } from '../../src/lab/cell/node-disk.ts'
import { PROBE } from '../../src/lab/consumer/probe.ts'

describe("what a consumer has written on the node's own disk", () => {
  it('is found where a FUSE mount was, and below that, where one volume of several is a folder of it', () => {
    const found = [`/var/lib/jfs/${PROBE}`, `/var/lib/jfs/pvc-1/${PROBE}`]
    const others = ['/var/lib/jfs/pvc-1/cache', `/var/lib/jfs-2/${PROBE}`, `/tmp/${PROBE}`]
    assert.deepEqual(probesBelow(['/var/lib/jfs'], [...found, ...others]), found)
    assert.deepEqual(probesBelow([], [...found, ...others]), [])
  })
})
