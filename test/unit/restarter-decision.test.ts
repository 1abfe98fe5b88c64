import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decide, type Facts, judge, type Rules, type Used } from '../../src/restarter/decision.ts'
import { parsePod, type Pod } from '../../src/restarter/pod.ts'
import { podObject, type PodChoice } from '../support/restarter-pods.ts'

const DRIVER = 'dummy-fuse-csi'
const NOW = 1_000_000
const NONE: Used = { atOnce: 0, withinInterval: [] }
const RULES: Rules = {
  driver: DRIVER,
  gracePeriod: 150_000,
  maxAtOnce: 1,
  maxPerInterval: 10,
  interval: 600_000,
  evictBarePods: false,
  namespaces: undefined,
  excludedNamespaces: new Set(),
}

/** Facts by which each inaccessible volume is the driver's, and has been inaccessible for 200 s. */
function facts(changes: Partial<Facts> = {}): Facts {
  return {
    now: NOW,
    driverOf: () => DRIVER,
    sinceOf: () => NOW - 200_000,
    retryAt: () => undefined,
    ...changes,
  }
}

function pod(choice: Partial<PodChoice> = {}): Pod {
  return parsePod(podObject({ name: 'web', inaccessibleFor: 200, ...choice }), DRIVER)
}

describe('a pod whose volume has been inaccessible for longer than the grace period', () => {
  it('is evicted', () => {
    const verdict = judge(pod(), RULES, facts())
    assert.ok(verdict.kind === 'evict')
    assert.deepEqual(verdict.cause.volume.reasons, ['DaemonDead'])
    assert.equal(verdict.cause.since, NOW - 200_000)
  })

  it('is evicted if no container has started yet', () => {
    assert.equal(judge(pod({ phase: 'Pending', ready: false }), RULES, facts()).kind, 'evict')
  })

  const LEFT: Readonly<Record<string, Partial<PodChoice>>> = {
    'that reads well again': { inaccessibleFor: null },
    'that is told to end': { deletedFor: 5 },
    'that has succeeded': { phase: 'Succeeded' },
    'that has failed': { phase: 'Failed' },
    'that mirrors a static pod': { annotations: { 'kubernetes.io/config.mirror': 'hash' } },
    'that the kubelet has of a file': { annotations: { 'kubernetes.io/config.source': 'file' } },
    'that belongs to a node': { controller: 'Node' },
    'of a DaemonSet of the chart': { controller: 'DaemonSet', labels: { 'app.kubernetes.io/name': 'dummy-fuse-csi' } },
    "of a DaemonSet with the driver's socket": { controller: 'DaemonSet', hostPath: '/data/kubelet/plugins/dummy-fuse-csi/' },
    'with the label that opts out': { labels: { 'dummy-fuse-csi/evict': 'false' } },
    'with the annotation that opts out': { annotations: { 'dummy-fuse-csi/evict': 'false' } },
  }
  for (const [which, choice] of Object.entries(LEFT)) {
    it(`is left alone if it is one ${which}`, () => {
      assert.deepEqual(judge(pod(choice), { ...RULES, evictBarePods: true }, facts()), { kind: 'leave' })
    })
  }

  const TAKEN: Readonly<Record<string, Partial<PodChoice>>> = {
    'of a DaemonSet of others': { controller: 'DaemonSet' },
    "of a DaemonSet with another driver's socket": { controller: 'DaemonSet', hostPath: '/var/lib/kubelet/plugins/other' },
    'of a Deployment with the label of the chart': { labels: { 'app.kubernetes.io/name': 'dummy-fuse-csi' } },
    'with another value of the label that opts out': { labels: { 'dummy-fuse-csi/evict': 'true' } },
    'of the API server, as an annotation says': { annotations: { 'kubernetes.io/config.source': 'api' } },
  }
  for (const [which, choice] of Object.entries(TAKEN)) {
    it(`is evicted if it is one ${which}`, () => {
      assert.equal(judge(pod(choice), RULES, facts()).kind, 'evict')
    })
  }

  it('is left alone if the volume is of another driver, or of one that is not known', () => {
    for (const driver of ['other', undefined]) assert.equal(judge(pod(), RULES, facts({ driverOf: () => driver })).kind, 'leave')
  })

  it('is evicted whatever the driver if those of all drivers count', () => {
    const rules = { ...RULES, driver: undefined }
    assert.equal(judge(pod(), rules, facts({ driverOf: () => undefined })).kind, 'evict')
  })

  it('is evicted in the namespaces that are named alone, and never in those that are excluded', () => {
    const kindIn = (rules: Partial<Rules>): string => judge(pod({ namespace: 'shop' }), { ...RULES, ...rules }, facts()).kind
    assert.equal(kindIn({ namespaces: new Set(['shop']) }), 'evict')
    assert.equal(kindIn({ namespaces: new Set(['bank']) }), 'leave')
    assert.equal(kindIn({ excludedNamespaces: new Set(['shop']) }), 'leave')
    assert.equal(kindIn({ namespaces: new Set(['shop']), excludedNamespaces: new Set(['shop']) }), 'leave')
  })

  it('is told apart if it has no controller, and evicted only if that is asked for', () => {
    assert.equal(judge(pod({ controller: null }), RULES, facts()).kind, 'bare')
    assert.equal(judge(pod({ controller: null }), { ...RULES, evictBarePods: true }, facts()).kind, 'evict')
  })

  it('waits if an attempt was refused a short time ago', () => {
    assert.deepEqual(judge(pod(), RULES, facts({ retryAt: () => NOW + 5000 })), { kind: 'wait', until: NOW + 5000 })
    assert.equal(judge(pod(), RULES, facts({ retryAt: () => NOW })).kind, 'evict')
  })
})

describe('the grace period', () => {
  it('is waited for, also by a pod without a controller', () => {
    const young = facts({ sinceOf: () => NOW - 149_999 })
    for (const controller of ['ReplicaSet', null])
      assert.deepEqual(judge(pod({ controller }), RULES, young), { kind: 'wait', until: NOW + 1 })
  })

  it('counts from when a volume became inaccessible that no status says any time of', () => {
    assert.equal(judge(pod(), RULES, facts({ sinceOf: () => undefined })).kind, 'leave')
  })
})

describe('the choice among pods', () => {
  const since: Readonly<Record<string, number>> = { a: NOW - 200_000, b: NOW - 400_000, c: NOW - 300_000 }
  const all = facts({ sinceOf: ({ name }) => since[name] })
  const pods = ['a', 'b', 'c'].map((name) => pod({ name }))
  const names = (used: Used, rules: Partial<Rules> = {}): readonly string[] =>
    decide(pods, used, { ...RULES, ...rules }, all).evict.map((judged) => judged.pod.name)

  it('takes first those that have been without their volumes for the longest time', () => {
    assert.deepEqual(names(NONE, { maxAtOnce: 2 }), ['b', 'c'])
    assert.deepEqual(names(NONE, { maxAtOnce: 9 }), ['b', 'c', 'a'])
  })

  it("takes by the kubelets' times those that were seen at the same time", () => {
    const together = ['a', 'b', 'c'].map((name, index) => pod({ name, inaccessibleFor: [200, 400, 300][index] ?? 0 }))
    const { evict } = decide(together, NONE, { ...RULES, maxAtOnce: 9 }, facts())
    assert.deepEqual(
      evict.map((judged) => judged.pod.name),
      ['b', 'c', 'a'],
    )
  })

  it('takes no more than may be replaced at the same time', () => {
    assert.deepEqual(names({ ...NONE, atOnce: 1 }), [])
    assert.deepEqual(names({ ...NONE, atOnce: 1 }, { maxAtOnce: 3 }), ['b', 'c'])
    assert.deepEqual(names({ ...NONE, atOnce: 5 }, { maxAtOnce: 3 }), [])
  })

  it('takes no more than may be evicted within the interval, and decides again when the first of them leaves it', () => {
    const used = { atOnce: 0, withinInterval: [NOW - 100, NOW - 500_000] }
    const { evict, next } = decide(pods, used, { ...RULES, maxAtOnce: 9, maxPerInterval: 3 }, all)
    assert.deepEqual(
      evict.map((judged) => judged.pod.name),
      ['b'],
    )
    assert.equal(next, NOW + 100_000)
  })

  it('decides again when the first grace period or wait ends', () => {
    const { evict, next } = decide(pods, NONE, RULES, facts({ sinceOf: ({ name }) => (since[name] ?? 0) + 260_000 }))
    assert.deepEqual(evict, [])
    assert.equal(next, NOW + 10_000)
  })

  it('is not kept up by a pod that a budget protects', () => {
    const { evict } = decide(pods, NONE, RULES, { ...all, retryAt: ({ name }) => (name === 'b' ? NOW + 1 : undefined) })
    assert.deepEqual(
      evict.map((judged) => judged.pod.name),
      ['c'],
    )
  })

  it('names pods without a controller whatever the limits', () => {
    const bare = [pod({ name: 'a', controller: null })]
    assert.equal(decide(bare, { ...NONE, atOnce: 9 }, RULES, all).bare.length, 1)
  })
})
