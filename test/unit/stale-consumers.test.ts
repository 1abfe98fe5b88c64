import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RunningCall } from '../../src/call-context.ts'
import type { FoundNamespaces, MountNamespace } from '../../src/os/mounts/mount-namespaces.ts'
import type { Mount } from '../../src/os/mounts/mount-table.ts'
import type { Probe } from '../../src/os/mounts/probe.ts'
import type { PublishedEntry, StagedEntry } from '../../src/volumes/mount-cache-entry.ts'
import { StaleConsumers } from '../../src/volumes/stale-consumers.ts'
import { alive } from '../support/volume-parts.ts'

const POD = '0f5e6b1c-1111-2222-3333-0123456789ab'
const OTHER_POD = '0f5e6b1c-1111-2222-3333-0123456789ac'
const TARGET = `/var/lib/kubelet/pods/${POD}/volumes/kubernetes.io~csi/v/mount`
const OTHER_TARGET = `/var/lib/kubelet/pods/${OTHER_POD}/volumes/kubernetes.io~csi/v/mount`
const STAGING = '/staging'
const common = {
  version: 1,
  bootId: 'boot',
  volumeId: 'v',
  stagingPath: STAGING,
  capability: { accessMode: 'X', fsType: '', mountFlags: [] },
} as const
const entry: PublishedEntry = {
  ...common,
  kind: 'published',
  targetPath: TARGET,
  readonly: false,
  device: '0:9',
  replaced: ['0:1'],
}
const staged: StagedEntry = { ...common, kind: 'staged', madeDirectory: false }

function namespace(mounts: Readonly<Record<string, string>>, more: Partial<MountNamespace> = {}): MountNamespace {
  const shown = Object.entries(mounts).map(([mountPoint, device]) => ({ mountPoint, device }))
  return { own: false, pid: 7, name: 'reader', pod: undefined, mounts: shown, ...more }
}

/** What is found for a target, and how often /proc was searched. `device`: what is bound to it; `none` if nothing is. `staging`: the device that is mounted where the volume is staged. */
async function found(
  namespaces: readonly MountNamespace[] | Error,
  {
    of = entry,
    device = '0:9',
    whole = true,
    staging = '0:9',
    answer = Promise.resolve({ kind: 'dead', message: 'dead' }),
  }: { of?: PublishedEntry; device?: string; whole?: boolean; staging?: string; answer?: Promise<Probe> } = {},
): Promise<{ stale: readonly string[] | 'unseen'; searches: number }> {
  let searches = 0
  const search = (): Promise<FoundNamespaces> => {
    searches++
    return namespaces instanceof Error
      ? Promise.reject(namespaces)
      : Promise.resolve({ namespaces, seesPods: namespaces.some(({ pod }) => pod !== undefined), whole: () => whole })
  }
  const targets = [TARGET, OTHER_TARGET]
  const consumers = new StaleConsumers({
    namespaces: { search },
    cache: {
      staged: () => [staged],
      stagedAt: (path) => (path === STAGING ? staged : undefined),
      publishedAt: (path) => (targets.includes(path) ? { ...entry, targetPath: path } : undefined),
    },
    states: { mountAt: () => ({ device: staging }) as Mount },
    prober: {
      ask: (path, asked) => {
        assert.match(path, /^\/proc\/[78]\/root\/\w/)
        assert.equal(asked, '0:1')
        return answer
      },
    },
    bootId: 'boot',
    time: 100,
  })
  using call = new RunningCall(10_000, { margin: 0 })
  return { stale: await consumers.of(of, device === 'none' ? undefined : device, call), searches }
}

describe('StaleConsumers', () => {
  for (const [what, namespaces, expected] of [
    ['no namespace', [], []],
    ['the new session', [namespace({ '/mnt': '0:9' })], []],
    ['the earlier session', [namespace({ '/mnt': '0:1' })], ['process 7 (reader)']],
    ['the earlier session, in a pod', [namespace({ '/mnt': '0:1' }, { pod: POD })], [`process 7 (reader) of pod ${POD}`]],
    ['the earlier session, in another pod', [namespace({ '/mnt': '0:1' }, { pod: OTHER_POD })], []],
    ['the earlier session, of no pod where there are pods', [namespace({ '/mnt': '0:1' }), namespace({}, { pod: OTHER_POD })], []],
    [
      'a copy of the node’s mounts, in the target’s pod',
      [namespace({ [OTHER_TARGET]: '0:1' }, { pod: POD })],
      [`process 7 (reader) of pod ${POD}`],
    ],
    ['a copy of the node’s mounts', [namespace({ [TARGET]: '0:1' })], ['process 7 (reader)']],
    ['a copy of another target', [namespace({ [OTHER_TARGET]: '0:1', [STAGING]: '0:1' })], []],
    ['the target in the plugin’s own namespace', [namespace({ [TARGET]: '0:1' }, { own: true })], []],
    ['a bind in the plugin’s own namespace', [namespace({ '/mnt': '0:1' }, { own: true })], []],
  ] as const) {
    it(`of a namespace with ${what}: ${expected.join() || 'none'}`, async () => {
      assert.deepEqual(await found(namespaces), { stale: expected, searches: 1 })
    })
  }

  it('are one for each namespace', async () => {
    const two = [namespace({ '/a': '0:1', '/b': '0:1' }), namespace({ '/a': '0:1' }, { pid: 8, name: 'sh' })]
    assert.deepEqual((await found(two)).stale, ['process 7 (reader)', 'process 8 (sh)'])
  })

  it('are none, and /proc is not searched, where no session was replaced', async () => {
    const { replaced: _replaced, ...of } = entry
    assert.deepEqual(await found([namespace({ '/mnt': '0:1' })], { of }), { stale: [], searches: 0 })
  })

  it('are none, and /proc is not searched, after a reboot', async () => {
    const of = { ...entry, bootId: 'earlier boot' }
    for (const device of ['0:9', 'none'])
      assert.deepEqual(await found([namespace({ '/mnt': '0:1' })], { of, device }), { stale: [], searches: 0 })
  })

  it('are those that are seen where nothing is bound to the target', async () => {
    const namespaces = [namespace({ '/mnt': '0:1' })]
    assert.deepEqual((await found(namespaces, { device: 'none' })).stale, ['process 7 (reader)'])
    assert.deepEqual((await found(namespaces, { device: 'none', answer: alive() })).stale, [])
    assert.deepEqual((await found([], { device: 'none' })).stale, [])
    assert.deepEqual((await found(namespaces, { device: 'none', whole: false })).stale, [])
    assert.deepEqual((await found(new Error('no /proc'), { device: 'none' })).stale, [])
  })

  it('are found where the entry was not written after the bind', async () => {
    const { replaced: _replaced, ...of } = { ...entry, device: '0:1' }
    assert.deepEqual((await found([namespace({ '/mnt': '0:1' })], { of })).stale, ['process 7 (reader)'])
  })

  it('are unseen where /proc does not show every process of the node, or cannot be read', async () => {
    assert.deepEqual((await found([namespace({ '/mnt': '0:1' })], { whole: false })).stale, 'unseen')
    assert.deepEqual((await found(new Error('no /proc'))).stale, 'unseen')
  })

  it('are none whose mount answers, or is gone: another session has the number', async () => {
    const namespaces = [namespace({ '/mnt': '0:1' })]
    assert.deepEqual((await found(namespaces, { answer: alive() })).stale, [])
    assert.deepEqual((await found(namespaces, { answer: Promise.resolve({ kind: 'absent' }) })).stale, [])
    const unknown = Promise.resolve({ kind: 'unknown', message: 'no stat(1)' } as const)
    for (const answer of [unknown, new Promise<Probe>(() => undefined)])
      assert.deepEqual((await found(namespaces, { answer })).stale, ['process 7 (reader)'])
  })

  it('are none with a device whose number a staged volume has again', async () => {
    assert.deepEqual((await found([namespace({ '/mnt': '0:1' })], { staging: '0:1' })).stale, [])
  })
})
