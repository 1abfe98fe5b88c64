import assert from 'node:assert/strict'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { LabRecord } from '../../../src/lab/matrix/lab-record.ts'
import { EXECUTABLE } from '../../support/paths.ts'
import type { Result, Running } from '../../support/sandbox.ts'
import type { Cluster } from './cluster.ts'

/** The label of all objects of the lab. */
export const SELECTOR = 'app.kubernetes.io/managed-by=dummy-fuse-csi-lab'

/** Milliseconds for a run of a few cells on a busy machine. */
export const PATIENCE = 1_500_000

/** The lab on the tests' cluster. */
export class LabRuns {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  start(...args: readonly string[]): Running {
    return this.#cluster.sandbox.start(EXECUTABLE, ['lab', 'run', '--cluster', this.#cluster.kubeconfig, ...args])
  }

  async run(args: readonly string[], timeout = PATIENCE): Promise<Result> {
    const all = ['lab', 'run', '--cluster', this.#cluster.kubeconfig, ...args]
    return await this.#cluster.sandbox.run(EXECUTABLE, all, { timeout })
  }

  /** Runs cells, and returns the record beside how the run ended. */
  async cells(args: readonly string[], timeout = PATIENCE): Promise<{ result: Result; record: LabRecord; report: string }> {
    const { path } = this.#cluster.sandbox
    const [json, report] = [join(path, 'lab.json'), join(path, 'lab.html')]
    const result = await this.run(['--json', json, '--report', report, ...args], timeout)
    const logs = process.env.KUBERNETES_LOGS
    if (logs !== undefined) for (const file of [json, report]) if (existsSync(file)) copyFileSync(file, join(logs, basename(file)))
    const told = `${result.stdout}${result.stderr}`
    assert.ok(result.status === 0 || result.status === 1, told)
    return { result, record: JSON.parse(readFileSync(json, 'utf8')) as LabRecord, report: readFileSync(report, 'utf8') }
  }

  /** What the lab has on the cluster and on the node, a line each. */
  async left(): Promise<readonly string[]> {
    const objects = await this.#cluster.kubectl(
      'get',
      'namespaces,persistentvolumes,csidrivers',
      '--selector',
      SELECTOR,
      '--output',
      'name',
    )
    const folders = await this.#cluster.enter(
      'find',
      '/var/lib/kubelet/plugins',
      '/var/lib/kubelet/plugins_registry',
      '-name',
      'dummy-fuse-lab-*',
    )
    const mounts = (await this.#cluster.mounts()).filter((path) => path.includes('dummy-fuse-lab-'))
    return [...objects.split('\n'), ...folders.split('\n'), ...mounts].filter((line) => line !== '')
  }
}

/** What did not come out as the model says, in words. */
export function oddities({ cells }: LabRecord): readonly string[] {
  return cells.flatMap(({ failure, mitigation, verdict, why = '' }) =>
    verdict === 'as-modelled' ? [] : [`${failure} under ${mitigation}: ${verdict}: ${why}`],
  )
}
