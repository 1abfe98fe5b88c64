import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Cluster, PROGRAMS } from './support/cluster.ts'
import { Driver } from './support/driver.ts'
import { fates, LEFT_OUT, officialSpecs, type SpecReport } from './support/official-specs.ts'
import { Provisioner } from './support/provisioner.ts'

const FOLDER = join(import.meta.dirname, 'official')

/** Milliseconds for the whole suite; ginkgo's own limit ends a suite that hangs some minutes before. */
const PATIENCE = 3_400_000

/** The suite's images with a shell, all of which are one here: its specs use /bin/sh and what busybox has. */
const SHELL_IMAGE = 'registry.k8s.io/e2e-test-images/agnhost:2.66.1'
const SHELL_IMAGES_TOO = ['busybox:1.37.0-2', 'nginx:1.27.0-2', 'glibc-dns-testing:2.1.1']

interface Report {
  readonly SpecReports: readonly SpecReport[]
}

describe('the official storage suite of Kubernetes', () => {
  it('has its specs pass, or be skipped, as official/specs.yaml says', { timeout: 3_600_000 }, async (t) => {
    await using cluster = await Cluster.start()
    const driver = new Driver(cluster)
    const provisioner = await Provisioner.install(driver)
    await cluster.kubectl('apply', '--filename', join(FOLDER, 'storageclass.yaml'))
    await cluster.loadProgram(SHELL_IMAGE, 'agnhost', { shell: true })
    for (const image of SHELL_IMAGES_TOO)
      await cluster.enter('ctr', 'images', 'tag', SHELL_IMAGE, `registry.k8s.io/e2e-test-images/${image}`)
    await cluster.loadProgram('registry.k8s.io/pause:3.10.2', 'pause')
    const file = join(cluster.sandbox.path, 'report.json')
    const suite = join(PROGRAMS, 'e2e.test')
    assert.ok(existsSync(suite), `${suite} is missing: scripts/test-kubernetes --setup-only official builds it`)
    const { stdout, stderr } = await cluster.sandbox.run(
      suite,
      [
        ...[`--kubeconfig=${cluster.kubeconfig}`, `--kubectl-path=${join(PROGRAMS, 'kubectl')}`, '--provider=local'],
        ...[`--storage.testdriver=${join(FOLDER, 'driver.yaml')}`, '--node-os-distro=debian', '--allowed-not-ready-nodes=0'],
        ...[`--ginkgo.skip=${LEFT_OUT.join('|')}`, `--ginkgo.json-report=${file}`, '--ginkgo.timeout=50m', '--ginkgo.no-color'],
        '--ginkgo.focus=External.Storage',
      ],
      { timeout: PATIENCE, cwd: cluster.sandbox.path },
    )
    const logs = process.env.KUBERNETES_LOGS
    if (logs !== undefined) {
      mkdirSync(logs, { recursive: true })
      writeFileSync(join(logs, 'official.log'), stdout + stderr)
      if (existsSync(file)) copyFileSync(file, join(logs, 'official.json'))
    }
    assert.ok(existsSync(file), `the suite wrote no report:\n${stdout.slice(-4000)}${stderr.slice(-4000)}`)
    const [report] = JSON.parse(readFileSync(file, 'utf8')) as readonly Report[]
    const found = fates(report?.SpecReports ?? [])
    const expected = officialSpecs()
    for (const { name, message } of found.failed) t.diagnostic(`failed: ${name}: ${message}`)
    assert.deepEqual(found.failed, [])
    assert.deepEqual(found.passed, expected.passed)
    assert.deepEqual(found.skipped, [...expected.skipped.values()].flat().sort())
    t.diagnostic(`${found.passed.length} passed, ${found.skipped.length} skipped`)
    await provisioner.nothingIsLeft()
  })
})
