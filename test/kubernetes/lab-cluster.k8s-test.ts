import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { EXECUTABLE } from '../support/paths.ts'
import type { Result } from '../support/sandbox.ts'
import { schemaOf } from '../support/type-check.ts'
import { eventually } from '../support/wait.ts'
import { Cluster } from './support/cluster.ts'
import { Driver, DRIVER } from './support/driver.ts'
import { LabRuns, oddities, PATIENCE, SELECTOR } from './support/lab-runs.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')

/** Where the cluster and the bare node disagree, without the consumer that may come while the driver registers again. */
function disagreementsOf({ disagreements = [] }: LabRecord): NonNullable<LabRecord['disagreements']> {
  return disagreements.filter(({ consumer }) => consumer !== 'starts-after')
}

/** Resolves when a consumer of a run is there. */
async function consumersRun(cluster: Cluster): Promise<void> {
  const selector = `${SELECTOR},app.kubernetes.io/component=consumer`
  const run = async (): Promise<boolean> =>
    (await cluster.kubectl('get', 'pods', '--all-namespaces', '--selector', selector)).includes('Running')
  await eventually('its consumers run', run, 180_000)
}

describe('the lab on a cluster', () => {
  let cluster: Cluster
  let driver: Driver
  let lab: LabRuns
  before(async () => {
    cluster = await Cluster.start()
    driver = new Driver(cluster)
    lab = new LabRuns(cluster)
    // Another installation of the same driver, which the lab leaves alone.
    await driver.install()
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  it('carries out cells with pods, agrees with the bare node, and removes all that it made', async () => {
    const pod = await driver.pod('plugin')
    const cells = ['--failure', 'plugin-killed,daemon-killed', '--mitigation', 'restore,stack,keep']
    const { result, record, report } = await lab.cells(cells)
    assert.deepEqual(oddities(record), [])
    assert.equal(result.status, 0, result.stdout + result.stderr)
    assert.deepEqual(problemsWith(record), [])
    assert.equal(record.cells.length, 6)
    for (const { consumers, evidence, lanes } of record.cells) {
      assert.equal(consumers.length, 11)
      for (const { consumer, reads, bareNode } of consumers) {
        assert.ok(
          reads.right >= 5 || consumer.startsWith('exits') || consumer.startsWith('starts'),
          `${consumer}: ${JSON.stringify(reads)}`,
        )
        assert.ok(bareNode !== undefined && bareNode.modelled.length > 0)
      }
      assert.ok(evidence.mountsBefore.length > 10, evidence.mountsBefore.join('\n'))
      assert.ok(
        evidence.holdersBefore.some((line) => line.startsWith('dummy-fuse')),
        evidence.holdersBefore.join('\n'),
      )
      assert.ok(lanes.some(({ id, pid = 0 }) => id === 'plugin' && pid > 0))
    }
    assert.deepEqual(disagreementsOf(record), [])
    assert.match(
      result.stdout,
      /^(The cluster and the bare node agree for every consumer\.|Where the cluster and the bare node disagree:)$/m,
    )
    assert.equal(record.node.cluster?.node, '127.0.0.1')
    assert.match(report, /Do the cluster and the bare node agree\?/)
    assert.deepEqual(await lab.left(), [])
    assert.equal(await driver.pod('plugin'), pod)
    await driver.registered(true)
  })

  it('names where the cluster and the bare node disagree, and why', async () => {
    const bare = join(cluster.sandbox.path, 'bare.json')
    const choice = ['--failure', 'plugin-killed', '--mitigation', 'separate']
    const onNode = await cluster.sandbox.run(EXECUTABLE, ['lab', 'run', ...choice, '--json', bare], { timeout: PATIENCE })
    assert.equal(onNode.status, 0, onNode.stdout + onNode.stderr)
    const { result, record, report } = await lab.cells([...choice, '--beside', bare])
    assert.deepEqual(oddities(record), [])
    const differing = disagreementsOf(record)
    assert.ok(differing.length >= 8, JSON.stringify(differing))
    for (const { bareNode, why } of differing) {
      assert.equal(bareNode, 'works')
      assert.match(why ?? '', /^The container runtime ends every process of the plugin's container with it/)
    }
    assert.match(
      result.stdout,
      /plugin-killed under separate, keeps-open: errors for ever on the cluster, works on the bare node$/m,
    )
    assert.match(report, /on the cluster, works\s+on the bare node/)
    assert.equal(record.bareNode?.version, record.tool.version)
    assert.deepEqual(await lab.left(), [])
  })

  it('removes all that it made when it is ended by a signal in a cell', async () => {
    const running = lab.start('--failure', 'daemon-hung', '--mitigation', 'none')
    await consumersRun(cluster)
    running.child.kill('SIGINT')
    const { status, stdout, stderr } = await running.ended
    assert.equal(status, 130, stdout + stderr)
    assert.deepEqual(await lab.left(), [])
  })

  it('names what a run that was killed has left, and is not disturbed by it', async () => {
    const running = lab.start('--failure', 'plugin-killed', '--mitigation', 'none')
    await consumersRun(cluster)
    running.child.kill('SIGKILL')
    await running.ended
    const [namespace = ''] = (await lab.left()).flatMap((line) => /^namespace\/(.*)$/.exec(line)?.[1] ?? [])
    await eventually(
      'the agent ends with the lab',
      async () => {
        const pod = await cluster.kubectl('get', 'pod', 'agent', '--namespace', namespace, '--output', 'jsonpath={.status.phase}')
        return pod === 'Succeeded'
      },
      60_000,
    )
    const { status, stdout, stderr } = await lab.run(['--failure', 'staging-unmounted', '--mitigation', 'none'])
    assert.equal(status, 0, stdout + stderr)
    assert.match(
      stdout,
      new RegExp(`has left namespace ${namespace}, .*PersistentVolume ${namespace}-1-struck, .*CSIDriver ${namespace}-1, `),
    )
    // What it says to do about it.
    await cluster.kubectl('delete', 'pods', '--namespace', namespace, '--selector', 'app.kubernetes.io/component=consumer')
    await cluster.kubectl('delete', 'namespace', namespace)
    await cluster.kubectl('delete', 'persistentvolumes,csidrivers', '--selector', `dummy-fuse-csi/lab-run=${namespace}`)
    await cluster.enter('sh', '-c', `rm -rf /var/lib/kubelet/plugins/${namespace}-*`)
    await cluster.enter(
      'sh',
      '-c',
      `rm -rf /var/lib/kubelet/plugins/kubernetes.io/csi/${namespace}-* /var/lib/kubelet/plugins_registry/${namespace}-*`,
    )
    assert.deepEqual(await lab.left(), [])
  })

  it('says that an image cannot be had', async () => {
    const image = ['--image', 'localhost/none:1', '--image-pull-policy', 'Never']
    const { status, stderr } = await lab.run(['--failure', 'plugin-killed', ...image])
    assert.match(
      stderr,
      /node 127\.0\.0\.1 cannot get the image localhost\/none:1: ErrImageNeverPull: .*; import the image on the node/,
    )
    assert.equal(status, 3)
    assert.deepEqual(await lab.left(), [])
  })

  it('says which rights a user lacks', async () => {
    await cluster.kubectl('create', 'serviceaccount', 'nobody')
    const token = (await cluster.kubectl('create', 'token', 'nobody')).trim()
    const file = join(cluster.sandbox.path, 'nobody.conf')
    const config = JSON.parse(readFileSync(cluster.kubeconfig, 'utf8')) as { users: readonly { name: string; user: object }[] }
    writeFileSync(file, JSON.stringify({ ...config, users: config.users.map(({ name }) => ({ name, user: { token } })) }))
    const args = ['lab', 'run', '--cluster', file, '--failure', 'plugin-killed']
    const { status, stderr } = await cluster.sandbox.run(EXECUTABLE, args, { timeout: 60_000 })
    assert.match(
      stderr,
      /lacks rights that the lab needs: get, list nodes; get, list, create, delete namespaces; .*pods\/attach; .*daemonsets \(apps\)/,
    )
    assert.equal(status, 3)
  })

  it('says that the cluster forbids privileged pods', async () => {
    await cluster.apply(FORBID_PRIVILEGED)
    const forbidden = async (): Promise<Result | undefined> => {
      const result = await lab.run(['--failure', 'target-unmounted', '--mitigation', 'none'])
      return result.status === 3 ? result : undefined
    }
    // A policy comes into force a moment after it is made.
    const { stderr } = await eventually('the policy is in force', forbidden, 300_000)
    assert.match(
      stderr,
      /does not take the lab's privileged pod \(hostPID, hostPath\): .*no privileged pods here.*; allow such pods in the namespaces dummy-fuse-lab-\*/,
    )
    assert.deepEqual(await lab.left(), [])
    assert.equal((await cluster.list('daemonset', `app.kubernetes.io/instance=${DRIVER}`)).length, 1)
  })
})

const FORBID_PRIVILEGED = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: forbid-privileged}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
    - expression: "!object.spec.containers.exists(c, has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged)"
      message: no privileged pods here
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: forbid-privileged}
spec:
  policyName: forbid-privileged
  validationActions: [Deny]
`
