import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Logger } from '../../src/log.ts'
import type { Clock } from '../../src/os/clock.ts'
import { Evictions } from '../../src/restarter/evictions.ts'
import { InaccessibleSince } from '../../src/restarter/inaccessible-since.ts'
import { Pods } from '../../src/restarter/pods.ts'
import { parsePod, type Pod } from '../../src/restarter/pod.ts'
import { podObject, type PodChoice } from '../support/restarter-pods.ts'

/** A clock that a test sets; its wall clock may be set apart. */
class SetClock implements Clock {
  #elapsed = 0
  #wall = Date.parse('2026-01-01T12:00:00Z')

  readonly monotonic = (): number => this.#elapsed

  readonly wall = (): number => this.#wall + this.#elapsed

  advance(milliseconds: number): void {
    this.#elapsed += milliseconds
  }

  setWall(milliseconds: number): void {
    this.#wall += milliseconds
  }
}

function pod(clock: Clock, choice: Partial<PodChoice> = {}): Pod {
  return parsePod(podObject({ name: 'web', now: clock.wall(), ...choice }), 'dummy-fuse-csi')
}

describe('the time since which a volume is inaccessible', () => {
  /** What is observed, first at 1,000,000. */
  function observing(): { clock: SetClock; since: InaccessibleSince; see: (choice: Partial<PodChoice>, gap?: boolean) => void } {
    const clock = new SetClock()
    clock.advance(1_000_000)
    const since = new InaccessibleSince()
    return { clock, since, see: (choice, gap = false) => since.observe(pod(clock, choice), clock.monotonic(), gap) }
  }

  it('is when it was seen so first, whatever the clock of the node says', () => {
    for (const inaccessibleFor of [3600, 0, -3600]) {
      const { clock, since, see } = observing()
      see({ inaccessibleFor })
      assert.equal(since.of('uid-web', 'data'), 1_000_000)
      see({ uid: 'other' })
      clock.advance(50_000)
      see({ uid: 'other', inaccessibleFor })
      assert.equal(since.of('other', 'data'), 1_050_000)
    }
  })

  it('stays when the reason changes, and begins anew after the volume was accessible', () => {
    const { clock, since, see } = observing()
    see({ inaccessibleFor: 100 })
    clock.advance(30_000)
    see({ inaccessibleFor: 0, reason: 'StaleBind' })
    assert.equal(since.of('uid-web', 'data'), 1_000_000)
    see({ inaccessibleFor: null })
    assert.equal(since.of('uid-web', 'data'), undefined)
    clock.advance(10_000)
    see({ inaccessibleFor: 2, reason: 'StaleBind' })
    assert.equal(since.of('uid-web', 'data'), 1_040_000)
  })

  it('begins anew if the same conditions are of another time, and stays if they are of the same', () => {
    for (const gap of [false, true]) {
      const { clock, since, see } = observing()
      see({ inaccessibleFor: 100 }, gap)
      clock.advance(30_000)
      see({ inaccessibleFor: 130 }, gap)
      assert.equal(since.of('uid-web', 'data'), 1_000_000)
      see({ inaccessibleFor: 10 }, gap)
      assert.equal(since.of('uid-web', 'data'), 1_030_000)
    }
  })

  it('begins anew after a gap in which the reason has changed', () => {
    const { clock, since, see } = observing()
    see({ inaccessibleFor: 100 })
    clock.advance(30_000)
    see({ inaccessibleFor: 10, reason: 'StaleBind' }, true)
    assert.equal(since.of('uid-web', 'data'), 1_030_000)
  })

  it('is forgotten with the pod', () => {
    const { since, see } = observing()
    see({ inaccessibleFor: 0 })
    since.forget('uid-web')
    assert.equal(since.of('uid-web', 'data'), undefined)
  })
})

describe('the pods', () => {
  it('are current for a while after the watch has told something, and not after an interruption', () => {
    const clock = new SetClock()
    const pods = new Pods('dummy-fuse-csi', clock, new Logger(() => undefined))
    assert.equal(pods.isCurrent(30_000), false)
    for (const [step, expected] of [
      [() => pods.upToDate(), true],
      [() => clock.advance(29_999), true],
      [() => clock.advance(1), false],
      [() => pods.upToDate(), true],
      [() => pods.interrupted(), false],
      [() => pods.replace([]), false],
      [() => pods.upToDate(), true],
    ] as const) {
      step()
      assert.equal(pods.isCurrent(30_000), expected)
    }
  })
})

describe('an eviction', () => {
  const LIMITS = { unseen: 30_000 }
  const HOUR = 3_600_000

  /** How many slots are held beside these pods. `wanted`: the number of pods that the controller wants. */
  function atOnce(evictions: Evictions, pods: readonly Pod[], wanted?: number): number {
    return evictions.used({ all: pods, get: (uid) => pods.find((one) => one.uid === uid) }, HOUR, () => wanted).atOnce
  }

  /** One eviction of the pod `web`. */
  function evicted(choice: Partial<PodChoice> = {}): { clock: SetClock; evictions: Evictions } {
    const clock = new SetClock()
    clock.advance(1_000_000)
    const evictions = new Evictions(clock, LIMITS)
    const web = pod(clock, choice)
    evictions.add(web, [web])
    return { clock, evictions }
  }

  it('counts while the pod ends', () => {
    const { clock, evictions } = evicted()
    assert.equal(atOnce(evictions, [pod(clock, { deletedFor: 3 })]), 1)
  })

  it('counts when the pod is gone, until the interval is over', () => {
    const { clock, evictions } = evicted()
    clock.advance(HOUR - 1)
    assert.equal(atOnce(evictions, []), 1)
    clock.advance(1)
    assert.equal(atOnce(evictions, []), 0)
  })

  it('of a pod without a controller counts until the pod is gone', () => {
    const { clock, evictions } = evicted({ controller: null })
    assert.equal(atOnce(evictions, [pod(clock, { controller: null, deletedFor: 3 })]), 1)
    assert.equal(atOnce(evictions, []), 0)
  })

  it('counts while the replacement is not ready, and no more once it was, whatever becomes of that', () => {
    const { clock, evictions } = evicted()
    clock.advance(5000)
    const held = [false, true, false].map((ready) => atOnce(evictions, [pod(clock, { name: 'new', createdFor: 3, ready })], 1))
    assert.deepEqual(held, [1, 0, 0])
  })

  it('counts no more when the replacement has succeeded, and counts when it has failed', () => {
    for (const [phase, expected] of [
      ['Succeeded', 0],
      ['Failed', 1],
    ] as const) {
      const { clock, evictions } = evicted()
      assert.equal(atOnce(evictions, [pod(clock, { name: 'new', createdFor: -2, ready: false, phase })]), expected)
    }
  })

  it('counts no more when the controller is gone, or has as many pods as it wants without a replacement', () => {
    const old = { name: 'old', createdFor: 7200 }
    const coming = { name: 'new', createdFor: -2, ready: false }
    for (const [wanted, others, expected] of [
      [0, [], 0],
      [1, [old], 0],
      [2, [old], 1],
      [2, [old, coming], 1],
      [undefined, [old], 1],
    ] as const) {
      const { clock, evictions } = evicted()
      const pods = others.map((choice) => pod(clock, choice))
      assert.equal(atOnce(evictions, pods, wanted), expected, JSON.stringify([wanted, others]))
    }
  })

  it('is replaced by a pod that replaces no other', () => {
    const { clock, evictions } = evicted()
    const other = pod(clock, { name: 'other' })
    evictions.add(other, [other])
    clock.advance(10_000)
    const first = pod(clock, { name: 'new-1', createdFor: 8 })
    assert.equal(atOnce(evictions, [first], 2), 1)
    const taken = new Evictions(clock, LIMITS, evictions.text())
    for (const one of [evictions, taken]) {
      assert.equal(atOnce(one, [first], 2), 1)
      assert.equal(atOnce(one, [first, pod(clock, { name: 'new-2', createdFor: 7 })], 2), 0)
    }
  })

  const SIBLINGS: readonly (readonly [string, Partial<PodChoice>, number])[] = [
    ['that is newer and ready', { createdFor: 2 }, 0],
    ['that is newer and not ready', { createdFor: 2, ready: false }, 1],
    ['that is newer and told to end', { createdFor: 2, deletedFor: 0 }, 1],
    ['that was there before', { createdFor: 60 }, 1],
    ['of another controller', { createdFor: 2, namespace: 'shop', ownerUid: 'uid-other' }, 1],
    ['that has no controller', { createdFor: 2, controller: null }, 1],
  ]
  for (const [which, choice, expected] of SIBLINGS) {
    it(`${expected === 0 ? 'counts no more' : 'counts'} beside a pod ${which}`, () => {
      const { clock, evictions } = evicted()
      const pods = [pod(clock, { deletedFor: 10 }), pod(clock, { name: 'other', ...choice })]
      assert.equal(atOnce(evictions, pods), expected)
    })
  }

  it('that shows in no pod counts for a while only', () => {
    const { clock, evictions } = evicted()
    clock.advance(29_999)
    assert.equal(atOnce(evictions, [pod(clock)]), 1)
    clock.advance(1)
    assert.equal(atOnce(evictions, [pod(clock)]), 0)
  })

  it('of a pod that does not end counts until the interval is over, whatever the controller wants', () => {
    const { clock, evictions } = evicted()
    clock.advance(HOUR - 1)
    assert.equal(atOnce(evictions, [pod(clock, { deletedFor: 3599 })], 0), 1)
    clock.advance(1)
    assert.equal(atOnce(evictions, [pod(clock, { deletedFor: 3600 })], 0), 0)
  })

  it('counts within the interval though the pod is gone, and not beyond it', () => {
    const { clock, evictions } = evicted()
    const none = { all: [], get: () => undefined }
    clock.advance(1000)
    assert.deepEqual(
      evictions.used(none, 5000, () => 0),
      { atOnce: 0, withinInterval: [1_000_000] },
    )
    clock.advance(4000)
    assert.deepEqual(evictions.used(none, 5000, () => 0).withinInterval, [])
  })

  it('that was refused does not count', () => {
    const { clock, evictions } = evicted()
    evictions.remove('uid-web')
    assert.equal(atOnce(evictions, [pod(clock)]), 0)
    assert.deepEqual(JSON.parse(evictions.text()), { evictions: [] })
  })

  it('counts for the next leader, whose clock has another zero', () => {
    const { clock, evictions } = evicted()
    clock.advance(2000)
    const text = evictions.text()
    const next = new SetClock()
    next.setWall(clock.wall() - next.wall())
    const taken = new Evictions(next, LIMITS, text)
    assert.deepEqual(taken.controllers, [{ uid: 'uid-owner', path: '/apis/apps/v1/namespaces/default/replicasets/owner' }])
    assert.equal(atOnce(taken, []), 1)
    assert.deepEqual(
      taken.used({ all: [], get: () => undefined }, HOUR, () => 0),
      { atOnce: 0, withinInterval: [-2000] },
    )
  })

  it('is not read from a text that is something else', () => {
    for (const text of ['', 'null', '[]', '{"evictions":[{"uid":7}]}', '{"evictions":[{"uid":"a","at":1,"slot":{}}]}'])
      assert.throws(() => new Evictions(new SetClock(), LIMITS, text), Error, text)
    assert.doesNotThrow(() => new Evictions(new SetClock(), LIMITS, '{}'))
  })
})

describe('a pod', () => {
  it('has the claims of its volumes, also of generic ephemeral ones', () => {
    const object = podObject({ name: 'web' }) as { spec: { volumes: object[] } }
    object.spec.volumes.push(
      { name: 'scratch', ephemeral: { volumeClaimTemplate: { spec: {} } } },
      { name: 'inline', csi: { driver: 'inline.example' } },
      { name: 'empty', emptyDir: {} },
    )
    const { claims } = parsePod(object, 'dummy-fuse-csi')
    assert.deepEqual(
      [...claims],
      [
        ['data', 'claim'],
        ['scratch', 'web-scratch'],
      ],
    )
  })

  it('has no inaccessible volume if its conditions are of other kinds', () => {
    const object = podObject({ name: 'web', inaccessibleFor: 5 }) as { status: { volumeHealth: { healthConditions: object[] }[] } }
    const [health] = object.status.volumeHealth
    assert.ok(health !== undefined)
    health.healthConditions = [{ status: 'Degraded', reason: 'Slow' }]
    assert.deepEqual(parsePod(object, 'dummy-fuse-csi').inaccessible, [])
    health.healthConditions.push({ status: 'Inaccessible', reason: 'A' }, { status: 'Inaccessible', reason: 'B' })
    assert.deepEqual(parsePod(object, 'dummy-fuse-csi').inaccessible[0]?.reasons, ['A', 'B'])
  })

  it('that is none is refused, with the field that is wrong', () => {
    assert.throws(() => parsePod({ metadata: { name: 'web' } }, 'dummy-fuse-csi'), /metadata\.namespace is missing/)
  })
})
