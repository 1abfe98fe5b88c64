import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type ApiObject, ApiServerStandIn } from '../support/api-server-stand-in.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { type Result, type Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const NAMESPACE = /^\/api\/v1\/namespaces\/(dummy-fuse-lab-[0-9a-f]{8})/

/** A cell that a cluster has. */
const CELL = ['--failure', 'plugin-killed', '--mitigation', 'none']

/** The lab, and an API server that stands in for that of a cluster with one node. */
class LabOnStandIn implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly api = new ApiServerStandIn()

  static async begin(): Promise<LabOnStandIn> {
    const lab = new LabOnStandIn()
    await lab.api.listen()
    lab.api.put('/version', { metadata: {}, gitVersion: 'v1.37.2' })
    lab.node('worker')
    return lab
  }

  /** A node of the cluster. */
  node(name: string, { ready = true, architecture = 'amd64' } = {}): void {
    const nodeInfo = {
      operatingSystem: 'linux',
      architecture,
      kernelVersion: '6.18',
      kubeletVersion: 'v1.37.2',
      containerRuntimeVersion: 'c://2',
    }
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False', message: ready ? '' : 'its network is down' }]
    this.api.put(`/api/v1/nodes/${name}`, { metadata: { name }, status: { nodeInfo, conditions, capacity: { cpu: '2' } } })
  }

  start(...args: readonly string[]): Running {
    const kubeconfig = this.api.kubeconfig(this.sandbox.path)
    return this.sandbox.start(EXECUTABLE, ['lab', 'run', '--cluster', kubeconfig, ...args])
  }

  async run(...args: readonly string[]): Promise<Result> {
    return await this.start(...args).ended
  }

  /** Writes the status of the agent's pod once the pod is created, as a kubelet would. */
  async agentStatus(status: object): Promise<void> {
    const created = (): { path: string; pod: ApiObject } | undefined => {
      const { request, body } = this.api.answered.find(({ request }) => /^POST .*\/pods$/.test(request)) ?? {}
      return request === undefined || body === undefined ? undefined : { path: `${request.slice(5)}/agent`, pod: body }
    }
    const { path, pod } = await eventually('the agent is created', created)
    this.api.put(path, { ...pod, metadata: { ...pod.metadata, uid: 'uid-agent' }, status })
  }

  /** The objects of the lab that are still there. */
  get left(): readonly string[] {
    const created = this.api.answered.flatMap(({ request, body }) => {
      const [method = '', path = ''] = request.split(' ')
      return method === 'POST' && body !== undefined && !path.endsWith('reviews') ? [`${path}/${body.metadata.name ?? ''}`] : []
    })
    return created.filter((path) => !path.endsWith('/agent') && this.api.get(path) !== undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]()
    await this.api[Symbol.asyncDispose]()
  }
}

describe('lab run --cluster', () => {
  const USAGE: { name: string; args: readonly string[]; says: RegExp }[] = [
    {
      name: '--node without --cluster',
      args: ['--node', 'worker'],
      says: /--node is for runs on a cluster; name one with --cluster$/m,
    },
    { name: '--beside without --cluster', args: ['--beside', '/dev/null'], says: /--beside is for runs on a cluster/ },
    {
      name: 'a scenario',
      args: ['--cluster', 'x', 'plugin-restart'],
      says: /'plugin-restart' does not go with --cluster: scenarios/,
    },
    { name: '--systemd', args: ['--cluster', 'x', '--systemd', 'host'], says: /--systemd does not go with --cluster/ },
    {
      name: 'a relative --kubelet-dir',
      args: ['--cluster', 'x', '--kubelet-dir', 'kubelet'],
      says: /--kubelet-dir kubelet is not an absolute path/,
    },
    {
      name: 'a --kubelet-dir with a slash at its end',
      args: ['--cluster', 'x', '--kubelet-dir', '/var/lib/kubelet/'],
      says: /--kubelet-dir \/var\/lib\/kubelet\/ is not an absolute path without blanks, colons and a slash at its end; name the/,
    },
    { name: 'an empty --cluster', args: ['--cluster', ''], says: /--cluster is empty; name the file of a kubeconfig/ },
    ...['--node', '--image', '--kubelet-dir', '--beside'].map((option) => ({
      name: `an empty ${option}`,
      args: ['--cluster', 'x', option, ''],
      says: new RegExp(`${option} is empty; name [^;]*, or leave it out$`, 'm'),
    })),
    {
      name: 'a record that is not there',
      args: ['--cluster', 'x', '--beside', '/nowhere/bare.json'],
      says: /--beside \/nowhere\/bare\.json: ENOENT.*; name the file that lab run --json has written/,
    },
    {
      name: 'a record that is none',
      args: ['--cluster', 'x', '--beside', '/dev/null'],
      says: /--beside \/dev\/null: it is no record of the lab/,
    },
    {
      name: 'cells that a cluster does not have',
      args: ['--cluster', 'x', '--failure', 'machine-crash', '--mitigation', 'none'],
      says: /nothing of what was chosen can be run on a cluster: The lab acts on a cluster through pods of its own/,
    },
  ]
  for (const { name, args, says } of USAGE) {
    it(`refuses ${name}`, async () => {
      await using sandbox = new Sandbox()
      const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', ...args])
      assert.match(stderr, says)
      assert.equal(status, 2)
    })
  }

  it('names a kubeconfig that cannot be used, and the option for another', async () => {
    await using sandbox = new Sandbox()
    const file = (text: string, name: string): string => {
      const path = join(sandbox.path, name)
      writeFileSync(path, text)
      return path
    }
    for (const [path, why] of [
      [join(sandbox.path, 'none'), 'ENOENT'],
      [sandbox.path, 'EISDIR'],
      [file('', 'empty'), 'it is empty'],
      [file('hello', 'text'), 'its current-context is missing'],
    ] as const) {
      const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--cluster', path, ...CELL])
      assert.match(
        stderr,
        new RegExp(`cannot use the kubeconfig ${path}: ${why}.*; repair it, or name another with --cluster$`, 'm'),
      )
      assert.equal(status, 3)
    }
  })

  it('refuses a folder for its record before it asks the cluster', async () => {
    await using sandbox = new Sandbox()
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--cluster', 'x', ...CELL, '--json', sandbox.path])
    assert.match(stderr, new RegExp(`cannot write ${sandbox.path}: it is a folder; name a file$`, 'm'))
    assert.equal(status, 1)
  })

  it('names an API server that does not answer', async () => {
    await using lab = await LabOnStandIn.begin()
    await lab.api.goAway()
    const { status, stderr } = await lab.run(...CELL)
    assert.match(
      stderr,
      /cannot use the API server http:\/\/127\.0\.0\.1:\d+: no answer.*ECONNREFUSED.*; check the server of the kubeconfig/,
    )
    assert.equal(status, 3)
  })

  it('names credentials that the API server does not take', async () => {
    await using lab = await LabOnStandIn.begin()
    lab.api.put('/version', { code: 401, message: 'Unauthorized', metadata: {} })
    const { status, stderr } = await lab.run(...CELL)
    assert.match(stderr, /does not take the credentials of the kubeconfig \(HTTP status 401: Unauthorized\); renew them/)
    assert.equal(status, 3)
  })

  it('names each right that is missing, by verb and resource, before it creates anything', async () => {
    await using lab = await LabOnStandIn.begin()
    const missing = ['create namespaces', 'get pods/log', 'update daemonsets', 'delete daemonsets']
    lab.api.allows = ({ verb, resource, subresource }) =>
      !missing.includes(`${verb ?? ''} ${resource ?? ''}${subresource === '' ? '' : `/${subresource ?? ''}`}`)
    const { status, stderr } = await lab.run(...CELL)
    assert.match(
      stderr,
      /lacks rights that the lab needs: create namespaces; get pods\/log; update, delete daemonsets \(apps\); bind a ClusterRole/,
    )
    assert.equal(status, 3)
    assert.deepEqual(lab.left, [])
  })

  const NODES: { name: string; nodes: Parameters<LabOnStandIn['node']>[]; args?: readonly string[]; says: RegExp }[] = [
    {
      name: 'a node that there is not',
      nodes: [],
      args: ['--node', 'other'],
      says: /the cluster has no node 'other'; there are worker$/m,
    },
    {
      name: 'a node that is not ready',
      nodes: [['broken', { ready: false }]],
      args: ['--node', 'broken'],
      says: /node broken is not ready: its network is down; name another one with --node/,
    },
    {
      name: 'a cluster without a node that it can run on',
      nodes: [
        ['worker', { ready: false }],
        ['arm', { architecture: 'arm64' }],
      ],
      says: /no node that the lab can run on \(worker is not ready: its network is down; arm runs linux on arm64\)/,
    },
  ]
  for (const { name, nodes, args = [], says } of NODES) {
    it(`names ${name}`, async () => {
      await using lab = await LabOnStandIn.begin()
      for (const node of nodes) lab.node(...node)
      const { status, stderr } = await lab.run(...CELL, ...args)
      assert.match(stderr, says)
      assert.equal(status, 3)
    })
  }

  it('says what the Pod Security admission forbids, and leaves nothing', async () => {
    await using lab = await LabOnStandIn.begin()
    lab.api.onCreate = (collection) =>
      collection.endsWith('/pods')
        ? { code: 403, message: 'pods "agent" is forbidden: violates PodSecurity "baseline:latest": privileged' }
        : undefined
    const { status, stderr } = await lab.run(...CELL)
    assert.match(
      stderr,
      /the Pod Security admission of the cluster forbids the lab's privileged pods: .*violates PodSecurity.*; let namespaces with the label/,
    )
    assert.equal(status, 3)
    assert.deepEqual(lab.left, [])
  })

  it('says that the image cannot be had, and leaves nothing', async () => {
    await using lab = await LabOnStandIn.begin()
    const running = lab.start(...CELL, '--image', 'registry.invalid/none:1')
    const waiting = { reason: 'ErrImagePull', message: 'no such host' }
    await lab.agentStatus({
      phase: 'Pending',
      containerStatuses: [{ name: 'agent', restartCount: 0, ready: false, state: { waiting } }],
    })
    const { status, stderr } = await running.ended
    assert.match(
      stderr,
      /node worker cannot get the image registry\.invalid\/none:1: ErrImagePull: no such host; import the image on the node/,
    )
    assert.equal(status, 3)
    assert.deepEqual(lab.left, [])
  })

  it('says that the folder of the kubelet is not there, and leaves nothing', async () => {
    await using lab = await LabOnStandIn.begin()
    const running = lab.start(...CELL, '--kubelet-dir', '/nowhere')
    await lab.agentStatus({ phase: 'Pending' })
    const message = 'MountVolume.SetUp failed for volume "kubelet" : hostPath type check failed: /nowhere is not a directory'
    const [namespace = ''] = lab.api.answered.flatMap(({ request }) => /^POST (.*)\/pods$/.exec(request)?.[1] ?? [])
    lab.api.put(`${namespace}/events/one`, { metadata: { name: 'one' }, reason: 'FailedMount', message })
    const { status, stderr } = await running.ended
    assert.match(
      stderr,
      /cannot start the lab's agent: FailedMount: .*\/nowhere is not a directory; name the kubelet's root folder/,
    )
    assert.equal(status, 3)
    assert.deepEqual(lab.left, [])
  })

  it('names what a run that was killed has left, and not what a run has that goes on', async () => {
    await using lab = await LabOnStandIn.begin()
    const labels = (run: string): Record<string, string> => ({
      'app.kubernetes.io/managed-by': 'dummy-fuse-csi-lab',
      'dummy-fuse-csi/lab-run': run,
    })
    const creationTimestamp = new Date(Date.now() - 3_600_000).toISOString()
    for (const [run, phase] of [
      ['dummy-fuse-lab-dead', 'Succeeded'],
      ['dummy-fuse-lab-alive', 'Running'],
    ] as const) {
      lab.api.put(`/api/v1/namespaces/${run}`, { metadata: { name: run, labels: labels(run), creationTimestamp } })
      lab.api.putPod({ metadata: { name: 'agent', namespace: run, uid: run }, status: { phase } })
      lab.api.put(`/api/v1/persistentvolumes/${run}-1-struck`, { metadata: { name: `${run}-1-struck`, labels: labels(run) } })
    }
    lab.api.onCreate = () => ({ code: 403, message: 'enough' })
    const { stdout, stderr } = await lab.run(...CELL)
    assert.match(
      stdout,
      /left namespace dummy-fuse-lab-dead, PersistentVolume dummy-fuse-lab-dead-1-struck, .*kubectl delete namespace dummy-fuse-lab-dead/,
    )
    assert.doesNotMatch(stdout, /dummy-fuse-lab-alive/)
    assert.match(stderr, /cannot create the namespace dummy-fuse-lab-[0-9a-f]{8}: HTTP status 403: enough/)
  })

  it('removes what it has made when it is ended before its agent runs', async () => {
    await using lab = await LabOnStandIn.begin()
    const running = lab.start(...CELL)
    await lab.agentStatus({ phase: 'Pending' })
    running.child.kill('SIGTERM')
    const { status } = await running.ended
    assert.equal(status, 143)
    assert.deepEqual(lab.left, [])
    const namespaces = lab.api.answered.filter(({ request }) => request.startsWith('DELETE ') && NAMESPACE.test(request.slice(7)))
    assert.equal(namespaces.length, 1)
  })

  it('compares with the record of a bare node of its own version only', async () => {
    await using lab = await LabOnStandIn.begin()
    const file = join(lab.sandbox.path, 'bare.json')
    const record = {
      version: 6,
      tool: { version: '0.0.1', commit: 'x' },
      driver: 'dummy-fuse-csi',
      node: { kernel: '6.18' },
      startedAt: '',
      cells: [],
    }
    writeFileSync(file, JSON.stringify(record))
    const { status, stderr } = await lab.run(...CELL, '--beside', file)
    assert.match(stderr, /it is of version 0\.0\.1, and this lab of version /)
    assert.equal(status, 2)
  })
})
