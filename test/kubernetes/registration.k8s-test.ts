import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { stringify } from 'yaml'
import { ROOT } from '../support/paths.ts'
import { eventually } from '../support/wait.ts'
import { Cluster, IMAGE, PROGRAMS } from './support/cluster.ts'
import { Driver, DRIVER } from './support/driver.ts'

const REGISTRY = '/var/lib/kubelet/plugins_registry'

describe('the registration with a real kubelet', { timeout: 900_000 }, () => {
  let cluster: Cluster
  let driver: Driver

  before(async () => {
    cluster = await Cluster.start()
    driver = new Driver(cluster)
    await driver.install()
  })

  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  const sockets = async (): Promise<readonly string[]> => (await cluster.enter('ls', REGISTRY)).split('\n').filter(Boolean)
  const state = async (expected: string): Promise<string> =>
    await eventually(
      `status says that the registration is ${expected}`,
      async () => {
        const { status, stdout } = await cluster.tryKubectl([
          ...['exec', await driver.pod('plugin'), '--container', 'nodeplugin', '--'],
          ...['dummy-fuse-csi', 'status', '--json', '--state-dir', `/var/lib/kubelet/plugins/${DRIVER}/state`],
        ])
        if (status !== 0) return undefined
        const { registration } = JSON.parse(stdout) as { readonly registration: { readonly state: string } | null }
        return registration?.state === expected ? stdout : undefined
      },
      120_000,
    )

  it('is there when the plugin serves', async () => {
    assert.deepEqual(await sockets(), [`${DRIVER}-reg.sock`])
    await state('registered')
  })

  it('is there again when the kubelet is restarted, and when its pod is replaced', async () => {
    await cluster.killServer('kubelet')
    await driver.ready()
    await state('registered')
    await cluster.kubectl('delete', 'pod', await driver.pod('plugin'))
    await driver.ready()
    await state('registered')
    assert.equal((await sockets()).length, 1)
  })

  it('is made anew when its socket is removed', async () => {
    const [socket = assert.fail('no socket')] = await sockets()
    await cluster.enter('rm', join(REGISTRY, socket))
    await eventually('there is a socket again', async () => (await sockets()).length === 1)
    await driver.registered(true)
    await state('registered')
  })

  it('is refused where the kubelet finds no plugin, which goes on and says why', async () => {
    const wrong = '/var/lib/kubelet/plugins/none/csi.sock'
    await cluster.helm(
      'upgrade',
      DRIVER,
      join(ROOT, 'chart/dummy-fuse-csi'),
      '--set',
      `csi.plugin.extraArgs={--kubelet-registration-path=${wrong}}`,
    )
    const refused = await state('refused')
    assert.match(refused, /connection error|no such file/)
    await eventually('it tries another name', async () => (await sockets()).join() === `${DRIVER}-reg-2.sock`, 120_000)
    assert.match(await driver.log('plugin', 'nodeplugin'), /the kubelet refused to register/)
    await driver.registered(false)
    await driver.install()
    await state('registered')
    assert.equal((await sockets()).length, 1)
  })

  it('is what the plugin’s readiness probe waits for, where metrics are served', async () => {
    const metrics = 'csi.plugin.metrics.port=9809'
    const wrong = 'csi.plugin.extraArgs[0]=--kubelet-registration-path=/var/lib/kubelet/plugins/none/csi.sock'
    const upgrade = async (...values: readonly string[]): Promise<void> => {
      const set = values.flatMap((value) => ['--set', value])
      await cluster.helm('upgrade', '--reset-values', DRIVER, join(ROOT, 'chart/dummy-fuse-csi'), ...set)
      // The pods of this node have no network of their own by which the kubelet reaches them.
      const patch = { spec: { template: { spec: { hostNetwork: true } } } }
      await cluster.kubectl('patch', 'daemonset', DRIVER, '--patch', JSON.stringify(patch))
    }
    const rolledOut = async (time: string): Promise<boolean> =>
      (await cluster.tryKubectl(['rollout', 'status', `daemonset/${DRIVER}`, `--timeout=${time}`])).status === 0
    await upgrade(metrics, wrong)
    await state('refused')
    assert.equal(await rolledOut('5s'), false)
    const probed = await cluster.kubectl('describe', 'pod', await driver.pod('plugin'))
    assert.match(probed, /Readiness probe failed: HTTP probe failed with statuscode: 503/)
    await upgrade(metrics)
    assert.equal(await rolledOut('120s'), true)
    await driver.registered(true)
    // An upgrade would leave the patch.
    await driver.uninstall()
    await driver.install()
    await state('registered')
  })

  it('waits for the kubelet’s restart when the folder itself is replaced, and says so', async () => {
    await cluster.enter('sh', '-c', `mv ${REGISTRY} ${REGISTRY}.away && mkdir -m 750 ${REGISTRY}`)
    await state('unseen')
    assert.match(await driver.log('plugin', 'nodeplugin'), /restart the kubelet/)
    // The container has the folder that was there when it started.
    await cluster.kubectl('delete', 'pod', await driver.pod('plugin'))
    await cluster.killServer('kubelet')
    await driver.ready()
    await state('registered')
    await cluster.enter('rm', '-rf', `${REGISTRY}.away`)
  })

  it('is done as well by a registrar beside a plugin that does not register itself', async () => {
    await driver.uninstall()
    const root = cluster.sandbox.directory('registrar/bin')
    copyFileSync(join(PROGRAMS, 'csi-node-driver-registrar'), join(root, 'registrar'))
    const image = join(cluster.sandbox.path, 'registrar.tar')
    const packed = await cluster.sandbox.run(join(ROOT, 'test/kubernetes/node/pack-image'), [
      ...['localhost/registrar:1', join(cluster.sandbox.path, 'registrar'), image, '/bin/registrar'],
    ])
    assert.equal(packed.status, 0, packed.stderr)
    await cluster.loadImage(image)
    await cluster.apply(withRegistrar())
    await cluster.kubectl('rollout', 'status', 'daemonset/by-registrar', '--timeout=120s')
    await driver.registered(true)
    await cluster.killServer('kubelet')
    await driver.registered(true)
    await cluster.kubectl('delete', 'daemonset', 'by-registrar', '--wait')
    await driver.registered(false)
  })
})

function withRegistrar(): string {
  const folder = `/var/lib/kubelet/plugins/${DRIVER}`
  return stringify({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'by-registrar' },
    spec: {
      selector: { matchLabels: { app: 'by-registrar' } },
      template: {
        metadata: { labels: { app: 'by-registrar' } },
        spec: {
          terminationGracePeriodSeconds: 5,
          containers: [
            {
              name: 'plugin',
              image: IMAGE,
              securityContext: { privileged: true },
              args: ['serve', `--endpoint=unix://${folder}/csi.sock`, `--state-dir=${folder}/state`, '--nodeid=node'],
              volumeMounts: [{ name: 'plugin', mountPath: folder }],
            },
            {
              name: 'registrar',
              image: 'localhost/registrar:1',
              args: [`--csi-address=${folder}/csi.sock`, `--kubelet-registration-path=${folder}/csi.sock`],
              volumeMounts: [
                { name: 'plugin', mountPath: folder },
                { name: 'registry', mountPath: '/registration' },
              ],
            },
          ],
          volumes: [
            { name: 'plugin', hostPath: { path: folder, type: 'DirectoryOrCreate' } },
            { name: 'registry', hostPath: { path: REGISTRY, type: 'Directory' } },
          ],
        },
      },
    },
  })
}
