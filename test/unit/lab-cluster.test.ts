import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { RIGHTS } from '../../src/lab/cluster/access.ts'
import { CellNames } from '../../src/lab/cluster/names.ts'
import { consumerPod, fusedDaemonSet, pluginDaemonSet } from '../../src/lab/cluster/objects.ts'
import { disagreements, disagreementText, withBareNode } from '../../src/lab/matrix/beside.ts'
import { CLUSTER_ABSENT, CLUSTER_CLAIMS, CLUSTER_MODEL } from '../../src/lab/matrix/cluster-model.ts'
import { clusterCatalogue, planCluster } from '../../src/lab/matrix/cluster-plan.ts'
import { CONSUMERS } from '../../src/lab/matrix/consumers.ts'
import type { Cell } from '../../src/lab/matrix/lab-record.ts'
import { CATALOGUE, expectation, fits, plan } from '../../src/lab/matrix/plan.ts'
import { notRun } from '../../src/lab/matrix/run-cells.ts'
import { mitigationOf } from '../../src/lab/mitigations.ts'
import { ROOT } from '../support/paths.ts'

const ALL = { failures: [], mitigations: [], consumers: [] }
const NAMES = new CellNames('dummy-fuse-lab-0a1b2c3d', 7, '/var/lib/kubelet')
const PLACEMENT = {
  node: 'worker',
  image: 'localhost/dummy-fuse-csi:1.0.0',
  pullPolicy: 'IfNotPresent',
  kubelet: '/var/lib/kubelet',
} as const

const LAB_PAGE = readFileSync(join(ROOT, 'docs/lab.md'), 'utf8')

/** The names in backticks of a cell of a table. */
function namesIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
}

interface Container {
  readonly name: string
  readonly args: readonly string[]
  readonly securityContext: object
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly mountPropagation?: string }[]
}
interface PodSpec {
  readonly containers: readonly Container[]
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string; readonly type: string } }[]
  readonly terminationGracePeriodSeconds: number
}

/** The pod of a DaemonSet of manifests/, with the names of a cell of the lab. */
function manifestPod(file: string, name: string): PodSpec {
  const text = readFileSync(join(ROOT, 'manifests', file), 'utf8')
    .replaceAll('/run/dummy-fuse-csi', NAMES.fusedFolder)
    .replaceAll('/plugins/dummy-fuse-csi', `/plugins/${NAMES.driver}`)
    .replaceAll('--drivername=dummy-fuse-csi', `--drivername=${NAMES.driver}`)
  const objects = parseAllDocuments(text).map((one) => one.toJS() as { kind: string; metadata: { name: string }; spec: unknown })
  const found = objects.find(({ kind, metadata }) => kind === 'DaemonSet' && metadata.name === name)
  return podOf(found as unknown as Record<string, unknown>)
}

function podOf(daemonSet: Readonly<Record<string, unknown>>): PodSpec {
  return (daemonSet.spec as { template: { spec: PodSpec } }).template.spec
}

/** What of a pod must be as the chart has it, without what the lab's cells have no use for. */
function essence({ containers, volumes, terminationGracePeriodSeconds }: PodSpec): object {
  const left = (name: string): boolean => name !== 'ephemeral'
  return {
    terminationGracePeriodSeconds,
    containers: containers.map(({ name, args, securityContext, volumeMounts }) => ({
      name,
      args: args.filter((arg) => !/^--(ephemeral-dir|call-deadline|log-format|daemons=per-volume)/.test(arg)),
      securityContext,
      volumeMounts: volumeMounts.filter((one) => left(one.name)),
    })),
    volumes: volumes.filter((one) => left(one.name)),
  }
}

describe('the lab on a cluster', () => {
  const HOSTS = [
    { file: 'driver-child.yaml', mitigation: 'stack' },
    { file: 'driver-service.yaml', mitigation: 'keep' },
  ]
  for (const { file, mitigation } of HOSTS) {
    it(`runs the plugin of ${mitigation} as ${file} does`, () => {
      const { hosting } = mitigationOf(mitigation)
      // The chart stacks in both.
      const own = pluginDaemonSet(
        NAMES,
        PLACEMENT,
        { hosting, pluginFlags: ['--restore-mounts=stack'] },
        { version: 1, further: [] },
      )
      assert.deepEqual(essence(podOf(own)), essence(manifestPod(file, 'dummy-fuse-csi')))
    })
  }

  it('runs dummy-fused as driver-service.yaml does', () => {
    const chart = manifestPod('driver-service.yaml', 'dummy-fuse-csi-fused')
    assert.deepEqual(essence(podOf(fusedDaemonSet(NAMES, PLACEMENT, 1))), essence(chart))
  })

  it('gives each consumer the mounts and the propagation that its place says', () => {
    for (const kind of CONSUMERS) {
      const pod = consumerPod(NAMES, PLACEMENT, kind, { name: 'pod', flags: ['--way', kind.way] })
      const { containers, volumes } = pod.spec as PodSpec & { readonly nodeName: string }
      const [container] = containers
      assert.ok(container !== undefined)
      const [first] = container.volumeMounts
      const claim = { name: 'volume', persistentVolumeClaim: { claimName: NAMES.volume(kind.volume) } }
      assert.deepEqual(volumes[0], claim)
      assert.equal(first?.mountPath, '/mnt')
      assert.equal(first.mountPropagation, kind.place === 'private' ? 'None' : 'HostToContainer', kind.id)
      const seesNode = kind.place === 'node' || kind.place === 'slave-folder'
      assert.equal(first.name, seesNode ? 'pods' : 'volume', kind.id)
      // The kubelet publishes a volume only if a container has it.
      assert.ok(container.volumeMounts.some(({ name }) => name === 'volume'))
      const folder = seesNode ? `/mnt/$(POD_UID)/volumes/kubernetes.io~csi/${NAMES.volume(kind.volume)}/mount` : '/mnt'
      assert.equal(container.args.at(-1), `--file=${folder}/dummy-file.txt`)
    }
  })

  it('has names that Kubernetes and unix sockets take', () => {
    const longest = new CellNames('dummy-fuse-lab-0a1b2c3d', 9999, '/var/lib/kubelet')
    assert.ok(longest.driver.length <= 63)
    assert.ok(`${longest.fusedFolder}/handback.sock`.length <= 107)
    assert.ok(`/var/lib/kubelet/plugins_registry/${longest.driver}-reg-99.sock`.length <= 107)
    for (const { id } of CONSUMERS) assert.match(`${longest.driver}-${id}`, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
  })

  it('has each combination of the bare node as a cell, or says why it is absent', () => {
    const bare = plan(ALL)
    const { cells, absent } = planCluster(ALL)
    const idOf = ({ failure, mitigation }: (typeof cells)[number]): string => `${failure.id} ${mitigation.id}`
    const whole = absent
      .filter(({ consumer }) => consumer === undefined)
      .map(({ failure, mitigation }) => `${failure} ${mitigation}`)
    const ids = [...cells.map(idOf), ...whole].sort()
    const expected = [
      ...bare.cells.map(idOf),
      ...bare.absent.flatMap(({ failure, mitigation, consumer }) => (consumer === undefined ? [`${failure} ${mitigation}`] : [])),
    ]
    assert.deepEqual(ids, expected.sort())
    for (const { reason } of absent) assert.ok(reason.endsWith('.') && reason.length > 20, reason)
    assert.ok(cells.every(({ mitigation }) => mitigation.hosting !== 'systemd'))
  })

  it('has no line that decides nothing, and no claim that nothing rests on', () => {
    const { cells } = plan(ALL)
    for (const [failures, mitigations, consumers, outcomes] of CLUSTER_MODEL) {
      const decided = cells.filter(({ failure, mitigation }) => fits(failures, failure.id) && fits(mitigations, mitigation.id))
      const different = decided.flatMap(({ failure, mitigation, consumers: all }) =>
        Object.keys(all).filter((id) => {
          const { outcome, or = [] } = expectation(failure.id, mitigation.id, id)
          return fits(consumers, id) && outcomes.split('|').some((one) => ![outcome, ...or].includes(one as typeof outcome))
        }),
      )
      assert.notEqual(different.length, 0, `${failures} / ${mitigations} / ${consumers}`)
    }
    for (const [failures, mitigations] of CLUSTER_ABSENT)
      assert.ok(cells.some(({ failure, mitigation }) => fits(failures, failure.id) && fits(mitigations, mitigation.id)))
    assert.deepEqual(new Set(CLUSTER_MODEL.map((line) => line[4])), new Set(Object.keys(CLUSTER_CLAIMS)))
    for (const { reason, source } of Object.values(CLUSTER_CLAIMS)) assert.ok(reason.endsWith('.') && source.length > 3)
  })

  it('says in its catalogue what a cluster does, of the same ids', () => {
    const own = clusterCatalogue(CATALOGUE)
    assert.deepEqual(Object.keys(own.failures), Object.keys(CATALOGUE.failures))
    assert.match(own.failures['plugin-restarted']?.words ?? '', /^The plugin's pod is deleted/)
    assert.match(own.consumers.mapped?.words ?? '', /stands for a process on the node\.$/)
    assert.equal(own.consumers.private?.words, CATALOGUE.consumers.private?.words)
  })

  /** A cell with one consumer that came to something. */
  function cellWith(seen: 'works' | 'errors' | 'recovers', expected: 'works' | 'errors'): Cell {
    const [planned] = planCluster({ failures: ['plugin-killed'], mitigations: ['separate'], consumers: [] }).cells
    if (planned === undefined) throw new Error('no such cell')
    const result = {
      ...{ consumer: 'keeps-open', expected, seen, reason: 'Because.', source: 'x', reads: { right: 1, wrong: 0, failed: {} } },
      ...{ failedBefore: 0, longestStallMs: 0, longestStallAtMs: null, firstRightAfterFailureMs: null, descriptorLived: null },
      ...{ restarts: 0, wroteToNode: false, watchedMs: 2000, mountTable: [] },
    }
    return { ...notRun(planned, '', '', 1), consumers: [result] }
  }

  it('tells an outcome that the bare node does not have, with its reason where the model has one', () => {
    const told = (cell: Cell): readonly object[] => disagreements(withBareNode([cell], undefined))
    const where = { failure: 'plugin-killed', mitigation: 'separate', consumer: 'keeps-open' }
    assert.deepEqual(told(cellWith('works', 'works')), [])
    assert.deepEqual(told(cellWith('errors', 'errors')), [{ ...where, cluster: 'errors', bareNode: 'works', why: 'Because.' }])
    assert.deepEqual(told(cellWith('recovers', 'errors')), [{ ...where, cluster: 'recovers', bareNode: 'works' }])
    const cells = withBareNode([cellWith('recovers', 'errors')], undefined)
    const text = disagreementText(disagreements(cells), cells)
    assert.match(text, /keeps-open: errors, then works on the cluster, works on the bare node \(the lab knows no reason\)/)
  })

  it('compares with what was seen on a bare node before it compares with the model', () => {
    const cells = [
      { failure: 'plugin-killed', mitigation: 'separate', consumers: [{ consumer: 'keeps-open', seen: 'errors' as const }] },
    ]
    const record = {
      version: 6 as const,
      tool: { version: '1', commit: 'x' },
      driver: 'd',
      node: { kernel: '6' },
      startedAt: '',
      cells,
    }
    assert.deepEqual(disagreements(withBareNode([cellWith('errors', 'errors')], record)), [])
    const [other] = disagreements(withBareNode([cellWith('recovers', 'errors')], record))
    assert.equal(other?.bareNode, 'errors')
  })

  it('has each disagreement of its model in docs/lab.md', () => {
    const [, table = ''] = /^(\| failure +\| mitigation +\| consumers +\| bare node[^]*?)\n\n/m.exec(LAB_PAGE) ?? []
    const rows = table
      .split('\n')
      .slice(2)
      .map((row) => row.split('|').slice(1, -1))
      .map(([failures = '', mitigations = '', consumers = '', , cluster = '']) => ({
        ...{ failures: namesIn(failures), mitigations: namesIn(mitigations), consumers: namesIn(consumers) },
        cluster: cluster.trim().split(', or '),
      }))
    assert.ok(rows.length > 0)
    for (const { failure, mitigation, consumers } of planCluster(ALL).cells)
      for (const consumer of Object.keys(consumers)) {
        const line = CLUSTER_MODEL.find(
          ([failures, mitigations, of]) => fits(failures, failure.id) && fits(mitigations, mitigation.id) && fits(of, consumer),
        )
        const { outcome, or = [] } = expectation(failure.id, mitigation.id, consumer)
        const different = (line?.[3].split('|') ?? []).filter((one) => ![outcome, ...or].includes(one as typeof outcome))
        if (different.length === 0) continue
        const where = `${failure.id} / ${mitigation.id} / ${consumer}: ${outcome} and ${different.join(', ')}`
        const row = rows.find(
          // A row that names no consumer speaks of several ("some", "all that run before").
          ({ failures, mitigations, consumers: of }) =>
            failures.includes(failure.id) && mitigations.includes(mitigation.id) && (of.length === 0 || of.includes(consumer)),
        )
        assert.ok(row !== undefined, `no row for ${where}`)
        assert.ok(
          different.every((one) => row.cluster.includes(one)),
          `the row for ${where} says ${row.cluster.join(', ')}`,
        )
      }
  })

  it('has its rights in docs/lab.md', () => {
    const [, yaml = ''] = /kind: ClusterRole\n[^]*?rules:\n([^]*?)```/.exec(LAB_PAGE) ?? []
    const rules = parseAllDocuments(yaml)[0]?.toJS() as { apiGroups: string[]; resources: string[]; verbs: string[] }[]
    const shown = rules.flatMap(({ apiGroups, resources, verbs }) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource} ${apiGroups.join()}`)),
    )
    const needed = RIGHTS.flatMap(({ group = '', resource, verbs }) => verbs.map((verb) => `${verb} ${resource} ${group}`))
    assert.deepEqual(shown.sort(), needed.sort())
  })
})
