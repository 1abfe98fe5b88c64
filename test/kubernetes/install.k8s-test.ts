import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { ROOT } from '../support/paths.ts'
import { eventually } from '../support/wait.ts'
import { Cluster } from './support/cluster.ts'
import { CHART, Driver, DRIVER, MANIFESTS } from './support/driver.ts'
import { ReaderPod } from './support/readers.ts'

/** What is looked at of an object that the chart makes. */
interface Rendered {
  readonly metadata: { readonly name: unknown; readonly labels: Readonly<Record<string, unknown>> }
  readonly spec?: { readonly template?: { readonly spec: { readonly priorityClassName?: unknown } } }
  readonly subjects?: readonly { readonly namespace: unknown }[]
}

describe('the chart', { timeout: 900_000 }, () => {
  let cluster: Cluster
  let driver: Driver

  before(async () => {
    cluster = await Cluster.start()
    driver = new Driver(cluster)
  })

  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  for (const program of ['helm', 'helm4'] as const) {
    it(`is without a complaint of ${program} lint, and the API server takes it in a dry run`, async () => {
      for (const host of ['child', 'detached', 'service']) {
        const set = ['--set', `csi.plugin.fuseHost=${host}`]
        const lint = await cluster.tryHelm(program, ['lint', '--strict', CHART, ...set])
        assert.equal(lint.status, 0, lint.stdout + lint.stderr)
        const dry = await cluster.tryHelm(program, ['install', 'd', CHART, '--dry-run=server', ...set])
        assert.equal(dry.status, 0, dry.stdout + dry.stderr)
        assert.match(dry.stdout, /kubectl .*rollout status/)
      }
    })

    it(`gives the plugin and the Controller service the file of a program, and ${program} lint has no complaint`, async () => {
      const file = parse(readFileSync(join(ROOT, 'examples/programs/bindfs.yaml'), 'utf8')) as object
      const values = [`--set-json=csi.plugin.program=${JSON.stringify(file)}`, '--set=csi.provisioner.enabled=true']
      const lint = await cluster.tryHelm(program, ['lint', '--strict', CHART, ...values])
      assert.equal(lint.status, 0, lint.stdout + lint.stderr)
      const { status, stdout, stderr } = await cluster.tryHelm(program, [
        'template',
        'd',
        CHART,
        '--kube-version',
        '1.37.0',
        ...values,
      ])
      assert.equal(status, 0, stderr)
      assert.equal(stdout.match(/--program=\/etc\/dummy-fuse-csi\/program\.yaml/g)?.length, 2)
      const objects = parseAllDocuments(stdout).map((one) => one.toJS() as { kind?: string; data?: Record<string, string> } | null)
      const map = objects.find((one) => one?.kind === 'ConfigMap')
      assert.deepEqual(parse(map?.data?.['program.yaml'] ?? ''), file)
      // Behind a shield: a holder in the place of dummy-fused and its standby.
      const service = await cluster.tryHelm(program, [
        'install',
        'd',
        CHART,
        '--dry-run=server',
        ...values,
        '--set=csi.plugin.fuseHost=service',
      ])
      assert.equal(service.status, 0, service.stderr)
      assert.match(service.stdout, /name: d-dummy-fuse-csi-holder\n/)
      assert.match(service.stdout, /--holder=\/run\/dummy-fuse-csi\/holder\/holder\.sock\n/)
      assert.doesNotMatch(service.stdout, /dummy-fused|name: standby/)
    })

    it(`refuses wrong values by name, with ${program}`, async () => {
      const wrong = {
        'csi.plugin.fuseHost=none': /fuseHost/,
        'csi.plugin.restoreMount=true': /restoreMount/,
        'kubeletDir=relative': /kubeletDir/,
        'csi.plugin.program=sshfs': /program.*object/s,
        'csi.plugin.program.nam=sshfs': /program.*nam/s,
        'csi.plugin.program.name=sshfs,csi.plugin.program.command={sshfs},csi.plugin.daemons=shared':
          /csi\.plugin\.program: .*set csi\.plugin\.daemons to per-volume/,
        'csi.plugin.callDeadlineSeconds=null': /callDeadlineSeconds/,
        'csi.provisioner=null': /provisioner/,
        'csi.plugin.resources.limits.memory=lots': /memory/,
        'tolerations[0].operator=Exist': /operator/,
        'image.repository=Foo Bar': /repository/,
        'image.digest=sha256:abc': /digest/,
        'podLabels.app\\.kubernetes\\.io/component=other': /podLabels/,
        'driverName=Upper.example.com': /driverName/,
        [`kubeletDir=/mnt/${'k'.repeat(60)}`]: /driverName: the socket .* would have 1\d\d bytes/,
      }
      for (const [value, message] of Object.entries(wrong)) {
        const version = ['--kube-version', '1.37.0']
        const { status, stderr } = await cluster.tryHelm(program, ['template', 'd', CHART, ...version, '--set', value])
        assert.notEqual(status, 0)
        assert.match(stderr, message)
      }
    })

    it(`quotes names that look like numbers, with ${program}`, async () => {
      const values = [
        '--set-string',
        'driverName=123,priorityClassName=1e3',
        '--set',
        'csi.provisioner.enabled=true,restarter.enabled=true',
      ]
      const { status, stdout, stderr } = await cluster.tryHelm(program, [
        'template',
        '123',
        CHART,
        '--kube-version',
        '1.37.0',
        '--namespace',
        '456',
        ...values,
      ])
      assert.equal(status, 0, stderr)
      for (const { metadata, spec, subjects = [] } of parseAllDocuments(stdout).map((one) => one.toJS() as Rendered)) {
        assert.equal(metadata.labels['app.kubernetes.io/instance'], '123')
        assert.equal(typeof metadata.name, 'string')
        assert.equal(typeof (spec?.template?.spec.priorityClassName ?? ''), 'string')
        for (const subject of subjects) assert.equal(subject.namespace, '456')
      }
    })

    it(`is installed, upgraded, rolled back and uninstalled by ${program}, and a pod reads meanwhile`, async () => {
      const helm = async (...args: readonly string[]): Promise<string> => {
        const { status, stdout, stderr } = await cluster.tryHelm(program, args)
        assert.equal(status, 0, `${args.join(' ')}: ${stderr}`)
        return stdout
      }
      await helm('install', DRIVER, CHART, '--set', 'csi.plugin.fuseHost=service')
      await driver.ready()
      await driver.createVolume()
      const readers = await ReaderPod.start(cluster)
      await helm('upgrade', DRIVER, CHART, '--set', 'csi.plugin.fuseHost=service,csi.plugin.logFormat=json')
      await driver.ready()
      assert.match(await driver.log('plugin', 'nodeplugin'), /^\{/m)
      await helm('rollback', DRIVER, '1')
      await driver.ready()
      await eventually('it logs text again', async () => !/^\{/m.test(await driver.log('plugin', 'nodeplugin')))
      await readers.readOn()
      assert.deepEqual(await readers.complaints(), [])
      await driver.deleteVolume('app=readers')
      await helm('uninstall', DRIVER, '--wait', '--timeout', '150s')
      await driver.registered(false)
    })
  }

  for (const host of ['child', 'service'] as const) {
    it(`is what manifests/driver-${host}.yaml was made of, which scripts/deploy-kubernetes installs and removes`, async () => {
      const file = join(MANIFESTS, `driver-${host}.yaml`)
      const args = ['template', DRIVER, CHART, '--kube-version', '1.37.0', '--set', `csi.plugin.fuseHost=${host}`]
      assert.equal(readFileSync(file, 'utf8'), await cluster.helm(...args), `make it anew: helm ${args.join(' ')} > ${file}`)
      const deploy = async (...words: readonly string[]): Promise<string> => {
        const environment = { KUBECONFIG: cluster.kubeconfig, PATH: cluster.path }
        const env = { ...process.env, ...environment }
        const { status, stdout, stderr } = await cluster.sandbox.run(join(ROOT, 'scripts/deploy-kubernetes'), words, {
          env,
          timeout: 170_000,
        })
        assert.equal(status, 0, stdout + stderr)
        return stdout
      }
      assert.match(await deploy(host), /the kubelet of each node has the driver registered/)
      await driver.createVolume()
      await ReaderPod.start(cluster)
      await driver.deleteVolume('app=readers')
      if (host === 'service') {
        // What only the other host mode has goes.
        await deploy('child')
        assert.deepEqual(await driver.pods('fused'), [])
      }
      await deploy('--delete')
      await driver.registered(false)
      assert.deepEqual(await driver.pods('plugin'), [])
    })
  }
})
