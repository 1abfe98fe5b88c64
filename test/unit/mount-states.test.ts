import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { asQuestion, RunningCall } from '../../src/call-context.ts'
import { type Daemon, type FuseHost, HostError } from '../../src/hosts/host.ts'
import type { MountTable } from '../../src/os/mounts/mount-table.ts'
import type { Probe } from '../../src/os/mounts/probe.ts'
import { MountStates } from '../../src/volumes/mount-states.ts'

const PATH = '/staging'
const call = new RunningCall(10_000, { margin: 0 })

/** A prober whose answer the test sets, and which counts the questions. */
class CountingProber {
  asked = 0
  answer: Probe = { kind: 'alive', usage: { blockSize: 0, blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0 } }

  ask(): Promise<Probe> {
    this.asked++
    return Promise.resolve(this.answer)
  }
}

/** One mount of dummy-fuse, whose daemon and device the test sets. */
function setUp() {
  const seen: { device: string; daemon: Daemon | Error | undefined; ages: (number | undefined)[] } = {
    device: '0:7',
    daemon: { pid: 42, stopped: false },
    ages: [],
  }
  const table: MountTable = {
    at: () => ({
      kind: 'mount',
      mount: { id: '1', device: seen.device, fsType: 'fuse.dummy-fuse', source: 'dummy-fuse', attributes: 0 },
    }),
    layers: () => [],
  }
  const host: Pick<FuseHost, 'daemonAt' | 'silence'> = {
    daemonAt: (_path: string, _device: string | undefined, _call: unknown, maxAge?: number) => {
      seen.ages.push(maxAge)
      return seen.daemon instanceof Error ? Promise.reject(seen.daemon) : Promise.resolve(seen.daemon)
    },
  }
  const prober = new CountingProber()
  return { seen, prober, host, states: new MountStates({ table, host, prober, silentMount: 50 }) }
}

describe('the state of a staging path', () => {
  it('is asked for once, as long as the answer counts, and again when it does not', async () => {
    const { seen, prober, states } = setUp()
    for (const [maxAge, asked] of [
      [60_000, 1],
      [60_000, 1],
      [undefined, 1],
      [0, 2],
      [60_000, 2],
    ] as const) {
      assert.deepEqual(await states.staging(PATH, call, maxAge), { kind: 'MOUNTED', device: '0:7', attributes: 0, pid: 42 })
      assert.equal(prober.asked, asked)
    }
    assert.deepEqual(seen.ages, [60_000, 60_000, undefined, 0, 60_000])
  })

  it('is asked for again, however young the answer is, once the daemon is gone or another session is mounted', async () => {
    const { seen, prober, states } = setUp()
    await states.staging(PATH, call, 60_000)
    seen.daemon = undefined
    await states.staging(PATH, call, 60_000)
    assert.equal(prober.asked, 2)
    seen.daemon = { pid: 42, stopped: false }
    seen.device = '0:8'
    prober.answer = { kind: 'dead', message: 'transport endpoint is not connected' }
    assert.deepEqual(await states.staging(PATH, call, 60_000), { kind: 'DEAD', device: '0:8' })
    assert.equal(prober.asked, 3)
  })

  it('is HUNG at once when the daemon is stopped, without a question', async () => {
    const { seen, prober, states } = setUp()
    await states.staging(PATH, call, 60_000)
    seen.daemon = { pid: 42, stopped: true }
    assert.deepEqual(await states.staging(PATH, call, 60_000), { kind: 'HUNG', device: '0:7', pid: 42 })
    assert.equal(prober.asked, 1)
  })

  it('is that of the mount itself where dummy-fused is silent: a standby may serve, and no answer is HUNG', async () => {
    const { seen, prober, states } = setUp()
    seen.daemon = new HostError('timeout', 'no answer')
    assert.deepEqual(await states.staging(PATH, call, 0), { kind: 'MOUNTED', device: '0:7', attributes: 0 })
    prober.answer = { kind: 'dead', message: 'transport endpoint is not connected' }
    assert.deepEqual(await states.staging(PATH, call, 0), { kind: 'DEAD', device: '0:7' })
    prober.ask = () => new Promise(() => undefined)
    assert.deepEqual(await states.staging(PATH, call, 0), { kind: 'HUNG', device: '0:7' })
    await assert.rejects(states.staging(PATH, call), { kind: 'unavailable', message: `${PATH}: no answer` })
    seen.daemon = new HostError('unavailable', 'not now')
    await assert.rejects(states.staging(PATH, call, 0), { kind: 'unavailable', message: `${PATH}: not now` })
  })

  it('is HUNG, with what the host says, where the mount is silent for as long as a question lasts', async () => {
    const { prober, host, states } = setUp()
    let time = Infinity
    host.silence = (_path: string, _device: string, given = Infinity) => {
      time = given
      return Promise.resolve('nothing serves it')
    }
    prober.ask = () => new Promise(() => undefined)
    const state = await states.staging(PATH, asQuestion(call, 100), 0)
    assert.deepEqual(state, { kind: 'HUNG', device: '0:7', pid: 42, waits: 'nothing serves it' })
    assert.ok(time <= 100, `${time} ms`)
  })

  it('is asked for when the host says that it serves another session there', async () => {
    const { seen, prober, states } = setUp()
    seen.daemon = { pid: 42, stopped: false, device: '0:7' }
    await states.staging(PATH, call)
    assert.equal(prober.asked, 0)
    seen.daemon = { pid: 42, stopped: false, device: '0:9' }
    await states.staging(PATH, call)
    assert.equal(prober.asked, 1)
  })

  it('needs no probe right after the host has mounted it, and one after it was unmounted', async () => {
    const { prober, states } = setUp()
    assert.equal(states.mounted(PATH, { pid: 42, stopped: false }), '0:7')
    await states.staging(PATH, call)
    assert.equal(prober.asked, 0)
    states.forget(PATH)
    await states.staging(PATH, call)
    assert.equal(prober.asked, 1)
  })

  it('is probed where only an earlier daemon told of its session', async () => {
    const { seen, prober, states } = setUp()
    states.mounted(PATH, { pid: 42, stopped: false, device: '0:7' })
    seen.daemon = { pid: 42, stopped: false }
    await states.staging(PATH, call)
    assert.equal(prober.asked, 1)
  })
})
