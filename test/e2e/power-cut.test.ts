import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Controller } from '../../src/rpc/csi_pb.ts'
import { cutFused, cutServe, filesOf, FOLDERS, ROLE, traced } from '../power/cuts.ts'
import { Disk } from '../power/disk.ts'
import { powerReport } from '../power/report.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** A small one of scripts/chaos power. */
describe('a power cut', () => {
  it('at every write leaves a state from which a plugin starts, without what was removed, with what CreateVolume has answered', async (t) => {
    await using sandbox = new Sandbox()
    const outcome = await cutServe(sandbox, { volumes: 4, each: 30 })
    assert.deepEqual(outcome.findings, [])
    for (const [kind, count] of Object.entries(outcome.found)) assert.ok(count > 0, `the states hold what is ${kind}`)
    t.diagnostic(powerReport('serve', outcome))
  })

  it('at every write of dummy-fused leaves records from which one starts, and serves what comes', async (t) => {
    await using sandbox = new Sandbox()
    const outcome = await cutFused(sandbox, { volumes: 2, each: 3 })
    assert.deepEqual(outcome.findings, [])
    for (const [kind, count] of Object.entries(outcome.found)) assert.ok(count > 0, `the states hold records that are ${kind}`)
    t.diagnostic(powerReport('dummy-fused', outcome))
  })

  it('is replayed as it was: without a loss the files are those that the plugin left', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox, ROLE)
    const volume = new Volume(sandbox, plugin, 'volume')
    const steps = await traced(sandbox, plugin, async () => {
      await volume.publish()
      await plugin.call(Controller.method.createVolume, { name: 'é"\\', volumeCapabilities: [mountCapability()] })
    })
    const disk = new Disk()
    for (const path of FOLDERS) disk.add(path)
    for (const step of steps) if (step.kind === 'change') disk.apply(step.change)
    const copy = join(sandbox.path, 'copy')
    disk.cut('nothing is lost', copy)
    const relative = (files: ReadonlyMap<string, string>, from: string): Map<string, string> =>
      new Map([...files].map(([path, text]) => [path.slice(from.length), text]))
    assert.deepEqual(relative(filesOf(copy), copy), relative(filesOf(plugin.stateDir), plugin.stateDir))
    await volume.unpublish()
    await volume.unstage()
  })
})
