import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ApiServerStandIn } from '../support/api-server-stand-in.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { podObject, type PodChoice } from '../support/restarter-pods.ts'
import { type Result, type Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const LEASE = '/apis/coordination.k8s.io/v1/namespaces/default/leases/dummy-fuse-csi-restarter'
const PODS = '/api/v1/namespaces/default/pods'
const BUDGET = {
  code: 429,
  message: 'Cannot evict pod as it would violate the budget',
  causes: ['DisruptionBudget'],
  retryAfter: 1,
}

/** A restarter with a short grace period, and the API server that it works with. */
class Restarting implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly api = new ApiServerStandIn()

  static async begin(...args: readonly string[]): Promise<Restarting & { restarter: Running }> {
    const restarting = new Restarting()
    await restarting.api.listen()
    restarting.api.putVolume('dummy-fuse-csi')
    restarting.api.putNode('node', true, ['dummy-fuse-csi'])
    return Object.assign(restarting, { restarter: restarting.start(...args) })
  }

  start(...args: readonly string[]): Running {
    const kubeconfig = this.api.kubeconfig(this.sandbox.path)
    return this.sandbox.start(EXECUTABLE, ['restarter', '--kubeconfig', kubeconfig, '--grace-period', '5', ...args])
  }

  pod(choice: PodChoice): void {
    this.api.putPod(podObject({ uid: `uid-${choice.name}`, ...choice }))
  }

  holder(): unknown {
    return (this.api.get(LEASE)?.spec as { holderIdentity?: string } | undefined)?.holderIdentity
  }

  /** Resolves when it has looked at the pods so many times: it does one second after a change, and renews the lease every two seconds. */
  async looks(times: number): Promise<void> {
    const renewals = (): number => this.api.answered.filter(({ request }) => request === `PUT ${LEASE}`).length
    const before = renewals()
    await eventually('looks at the pods', () => renewals() >= before + times, 60_000)
  }

  async evicted(...names: readonly string[]): Promise<void> {
    await eventually(`eviction of ${names.join()}`, () => this.api.evictions.length >= names.length, 60_000)
    assert.deepEqual(this.api.evictions, names)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]()
    await this.api[Symbol.asyncDispose]()
  }
}

function reasons({ events }: ApiServerStandIn): readonly string[] {
  return events.map(({ reason, regarding }) => `${String(reason)} ${(regarding as { name: string }).name}`)
}

async function stopped(running: Running): Promise<Result> {
  running.child.kill('SIGTERM')
  return await running.ended
}

describe('dummy-fuse-csi restarter', () => {
  it("evicts one pod after the other, the next when the last one's replacement is ready, and says so by events", async () => {
    await using it = await Restarting.begin()
    it.api.putReplicaSet(4)
    it.pod({ name: 'young', inaccessibleFor: 0 })
    it.pod({ name: 'old', inaccessibleFor: 100 })
    it.pod({ name: 'older', inaccessibleFor: 200 })
    it.pod({ name: 'well' })
    await it.evicted('older')
    assert.match(JSON.stringify(it.api.get(LEASE)), /uid-older/)
    it.api.delete(`${PODS}/older`)
    it.pod({ name: 'first', createdFor: 0, ready: false, phase: 'Pending' })
    // The young one's grace period passes, and the first one's slot is still taken.
    await it.looks(5)
    assert.deepEqual(it.api.evictions, ['older'])
    it.pod({ name: 'first', createdFor: 0 })
    await it.evicted('older', 'old')
    it.api.delete(`${PODS}/old`)
    await it.looks(2)
    assert.deepEqual(it.api.evictions, ['older', 'old'])
    // No replacement is wanted any more.
    it.api.putReplicaSet(3)
    await it.evicted('older', 'old', 'young')
    await eventually('the last event', () => it.api.events.length === 3)
    assert.deepEqual(
      reasons(it.api),
      ['older', 'old', 'young'].map((name) => `EvictedInaccessibleVolume ${name}`),
    )
    const [event] = it.api.events
    assert.match(
      String(event?.note),
      /^Evicted: volume data \(claim claim\) has been inaccessible for \d+ s: DaemonDead; ReplicaSet owner replaces it$/,
    )
    assert.equal((event?.regarding as { uid: string }).uid, 'uid-older')
  })

  it('leaves pods of other drivers and pods without a controller, and names those by an event', async () => {
    await using it = await Restarting.begin('--max-at-once', '9')
    it.api.putVolume('other.example', 'other-claim')
    it.pod({ name: 'other', claim: 'other-claim', inaccessibleFor: 100 })
    it.pod({ name: 'bare', controller: null, inaccessibleFor: 100 })
    it.pod({ name: 'ours', inaccessibleFor: 50 })
    await it.evicted('ours')
    await eventually('both events', () => it.api.events.length === 2)
    assert.deepEqual(reasons(it.api).toSorted(), ['EvictedInaccessibleVolume ours', 'NotEvictedNoController bare'])
  })

  it('tries a pod again that a disruption budget protects, and evicts others meanwhile', async () => {
    await using it = await Restarting.begin('--metrics-address', '127.0.0.1:0')
    it.api.onEviction = (name) => (name === 'protected' ? BUDGET : undefined)
    it.pod({ name: 'protected', inaccessibleFor: 200 })
    it.pod({ name: 'free', inaccessibleFor: 100 })
    await it.evicted('protected', 'free')
    await eventually('the events', () => it.api.events.length === 2)
    assert.deepEqual(reasons(it.api), ['EvictionRefusedByBudget protected', 'EvictedInaccessibleVolume free'])
    await eventually('a lease without the refused eviction', () => !JSON.stringify(it.api.get(LEASE)).includes('uid-protected'))
    assert.match(JSON.stringify(it.api.get(LEASE)), /uid-free/)
    it.api.delete(`${PODS}/free`)
    it.api.onEviction = () => undefined
    await it.evicted('protected', 'free', 'protected')
    const [, port = ''] = /served on port (\d+)/.exec(it.restarter.output()) ?? []
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    assert.match(metrics, /^dummy_fuse_csi_restarter_leading 1$/m)
    assert.match(metrics, /^dummy_fuse_csi_evictions_total\{outcome="refused"\} 1$/m)
  })

  it('does not evict a pod that reads well again at the last moment, or that is another by then', async () => {
    await using it = await Restarting.begin()
    let healed = 0
    it.api.onEviction = (name) => {
      if (name !== 'healing') return undefined
      healed++
      it.pod({ name: 'healing', inaccessibleFor: null })
      return undefined
    }
    it.pod({ name: 'healing', inaccessibleFor: 200 })
    it.pod({ name: 'last', inaccessibleFor: 100 })
    await it.evicted('healing', 'last')
    assert.equal(healed, 1)
    assert.equal(it.api.get(`${PODS}/healing`)?.metadata.deletionTimestamp, undefined)
    await eventually('the event', () => it.api.events.length > 0)
    assert.deepEqual(reasons(it.api), ['EvictedInaccessibleVolume last'])
  })

  it('leaves pods alone whose node is not ready or has no plugin, says so once, and evicts them when both are back', async () => {
    await using it = await Restarting.begin()
    it.api.putNode('down', false, ['dummy-fuse-csi'])
    it.api.putNode('bare', true, ['other.example'])
    it.pod({ name: 'lost', node: 'down', inaccessibleFor: 400 })
    it.pod({ name: 'also', node: 'down', inaccessibleFor: 350 })
    it.pod({ name: 'unasked', node: 'bare', inaccessibleFor: 300 })
    it.pod({ name: 'asked', inaccessibleFor: 200 })
    await it.evicted('asked')
    const said = (): readonly string[] => it.restarter.output().match(/Pod .* is left alone.*/g) ?? []
    assert.equal(said().length, 2, it.restarter.output())
    assert.match(said()[0] ?? '', /^Pod default\/lost is left alone, as are others of node down: the node is not ready/)
    assert.match(said()[1] ?? '', /^Pod default\/unasked .* of node bare: its kubelet has no plugin of driver dummy-fuse-csi/)
    it.api.putNode('bare', true, ['dummy-fuse-csi'])
    it.api.delete(`${PODS}/asked`)
    await it.evicted('asked', 'unasked')
    assert.equal(said().length, 2, it.restarter.output())
  })

  it('goes on when the API server is back, and after the history of its watch is lost', async () => {
    await using it = await Restarting.begin()
    await eventually('a leader', () => it.holder())
    await it.api.goAway()
    await eventually('a warning', () => it.restarter.output().includes('cannot watch /api/v1/pods'))
    it.pod({ name: 'first', inaccessibleFor: 100 })
    await it.api.listen()
    await it.evicted('first')
    it.api.delete(`${PODS}/first`)
    it.api.forgetHistory()
    it.pod({ name: 'second', inaccessibleFor: 100 })
    await it.evicted('first', 'second')
    assert.equal(it.restarter.child.exitCode, null)
  })

  it('ends at SIGTERM and gives the lease back, and another takes it at its next look with the evictions of the first', async () => {
    await using it = await Restarting.begin()
    it.pod({ name: 'first', inaccessibleFor: 200 })
    it.pod({ name: 'second', inaccessibleFor: 100 })
    await it.evicted('first')
    const successor = it.start()
    await eventually('it waits', () => successor.output().includes('Waiting for the lease'))
    const { status, stderr } = await stopped(it.restarter)
    assert.equal(status, 0)
    assert.match(stderr, /The lease is given back/)
    await eventually('a new leader', () => successor.output().includes('Leading as'))
    assert.notEqual(it.holder(), '')
    await it.looks(5)
    assert.deepEqual(it.api.evictions, ['first'])
    it.api.delete(`${PODS}/first`)
    await it.evicted('first', 'second')
  })

  it('ends at once though the API server does not answer', async () => {
    await using it = await Restarting.begin()
    await eventually('a leader', () => it.holder())
    it.api.hangs = true
    const began = performance.now()
    const { status } = await stopped(it.restarter)
    assert.equal(status, 0)
    // Two seconds are for giving the lease back, the others for a busy machine.
    assert.ok(performance.now() - began < 20_000)
  })

  it('says what is wrong with a kubeconfig, and with its words', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'kubeconfig')
    const run = async (...args: readonly string[]): Promise<Result> =>
      await sandbox.run(EXECUTABLE, ['restarter', ...args], {
        env: { ...process.env, KUBECONFIG: '', KUBERNETES_SERVICE_HOST: '' },
      })
    const none = await run()
    assert.deepEqual([none.status, none.stderr.trim().split('\n').at(-1)?.includes('no API server is named')], [1, true])
    for (const [text, message] of [
      ['', 'it is empty'],
      ['hello', 'its current-context is missing'],
      ['{', 'cannot use the kubeconfig'],
    ] as const) {
      writeFileSync(file, text)
      const { status, stderr } = await run('--kubeconfig', file)
      assert.equal(status, 1, stderr)
      assert.ok(stderr.includes(message) && stderr.includes(file), stderr)
    }
    for (const args of [
      ['--max-at-once', '0'],
      ['--namespace', 'A'],
      ['--drivername', '-'],
      ['--selector', ''],
      ['--grace-period', '-1'],
    ]) {
      const { status, stderr } = await run(...args)
      assert.equal(status, 2, stderr)
    }
  })
})
