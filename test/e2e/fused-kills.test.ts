import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { CallError } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { SeededRandom, seedOf } from '../support/random.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const KILLS = 15
const PATHS = 4

/** A call that a kill may cut off: then it is not known what came of it. */
async function orCutOff(call: Promise<unknown>): Promise<void> {
  try {
    await call
  } catch (error) {
    if (!(error instanceof CallError) || !['UNAVAILABLE', 'CANCELLED', 'INTERNAL'].includes(error.code)) throw error
    if (error.code === 'INTERNAL' && !/RST_STREAM|cannot mount/.test(error.details)) throw error
  }
}

describe('dummy-fused, killed at random moments while clients mount and unmount', () => {
  const seed = seedOf(process.env)
  it(`serves each path afterwards or has nothing mounted there, and leaks nothing (DUMMY_FUSE_SEED=${seed})`, async () => {
    await using sandbox = new Sandbox()
    const random = new SeededRandom(seed)
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const paths = Array.from({ length: PATHS }, (_, at) => sandbox.directory(`v${at}`))
    let going = true
    const client = async (path: string): Promise<void> => {
      while (going) {
        await orCutOff(fused.mount(path))
        await orCutOff(fused.unmount(path, 500))
      }
    }
    const clients = paths.map(async (path) => await client(path))
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(random.roll() * 300)
      const [pid] = sandbox.processes('dummy-fused')
      const stat = pid === undefined ? undefined : processStat(pid)
      if (stat === undefined) continue
      process.kill(stat.pid, 'SIGKILL')
      await eventually('it is gone', () => processStat(stat.pid)?.start !== stat.start)
    }
    going = false
    await Promise.all(clients)
    await fused.answers()
    const served = await fused.paths()
    for (const path of paths) {
      if (served.includes(path)) assert.ok(await serves(sandbox, path), fused.log())
      assert.equal(layersAt(path).length, served.includes(path) ? 1 : 0, `${path}: ${fused.log()}`)
    }
    assert.equal(fused.records().length, served.length)
    await eventually('there is a descriptor for each session', () => devicesOf(fused.pid) === served.length)
    await eventually('keep has one for each too', () => devicesOf(fused.running.pid) === served.length)
    // Every path can be used, whatever its last call came to.
    for (const path of paths) {
      await fused.persist(Fused.method.mount, { path })
      assert.ok(await serves(sandbox, path))
      assert.equal(await fused.unmount(path), true)
    }
    assert.equal((await fused.stop()).status, 0)
    assert.deepEqual([...sandbox.mounts(), ...fused.records(), ...sandbox.processes()], [])
  })
})
