import { dirname } from 'node:path'
import { stringify } from 'yaml'
import { type ReaderMode, readerProgram, type ReaderSummary } from '../../support/c-reader.ts'
import { eventually } from '../../support/wait.ts'
import { type Cluster, IMAGE, type Pod } from './cluster.ts'

const MODES = ['held', 'reopen', 'mmap'] as const satisfies readonly ReaderMode[]

/** How the readers' pod uses the volume. */
export interface ReaderPodOptions {
  /** The pod's name; `readers` if not given. */
  readonly name?: string
  /** Of the volume in each container; `None` if not given. */
  readonly propagation?: 'None' | 'HostToContainer'
  /** Milliseconds that a pod may take until all its readers read. */
  readonly patience?: number
}

/** A pod with one reader of each mode in a container of its own, on the claim of manifests/volume.yaml. The reader is test/peers/reader.c. */
export class ReaderPod {
  readonly name: string
  readonly #cluster: Cluster

  private constructor(cluster: Cluster, name: string) {
    this.#cluster = cluster
    this.name = name
  }

  /** Creates it and resolves when each reader has read. */
  static async start(cluster: Cluster, options: ReaderPodOptions = {}): Promise<ReaderPod> {
    const { name = 'readers', patience = 120_000 } = options
    await cluster.apply(manifest(await readerProgram(), name, options.propagation ?? 'None'))
    const pod = new ReaderPod(cluster, name)
    const all = async (): Promise<boolean> => {
      const logs = await Promise.all(MODES.map(async (mode) => await pod.#log(mode)))
      return logs.every((log) => log.includes('reading\n'))
    }
    try {
      await eventually(`the readers of ${name} read`, all, patience)
    } catch (error) {
      throw new Error(await cluster.kubectl('describe', 'pod', name), { cause: error })
    }
    return pod
  }

  /** What each reader has counted so far, in the order held, reopen, mmap. */
  async progress(): Promise<readonly ReaderSummary[]> {
    return await Promise.all(MODES.map(async (mode) => await this.#progress(mode)))
  }

  /** A line for each reader that has failed or read something wrong since it began. */
  async complaints(): Promise<readonly string[]> {
    const bad = (await this.progress()).filter(({ wrong, failed }) => wrong > 0 || Object.keys(failed).length > 0)
    return bad.map(({ mode, wrong, failed }) => `${mode}: ${wrong} wrong, failed: ${JSON.stringify(failed)}`)
  }

  /** Resolves when each reader has read rightly so many times more. */
  async readOn(rounds = 100): Promise<void> {
    const before = await this.progress()
    await eventually(`the readers of ${this.name} read on`, async () => {
      const now = await this.progress()
      return now.every(({ right }, index) => right > (before[index]?.right ?? 0) + rounds)
    })
  }

  async #progress(mode: string): Promise<ReaderSummary> {
    const before = summaries(await this.#log(mode)).length
    await this.#cluster.enter('kill', '-USR1', String(await this.#cluster.processOf(this.name, mode)))
    return await eventually(`the reader ${mode} of ${this.name} answers`, async () => {
      const lines = summaries(await this.#log(mode))
      return lines.length > before ? lines.at(-1) : undefined
    })
  }

  async #log(mode: string): Promise<string> {
    const { status, stdout } = await this.#cluster.tryKubectl(['logs', this.name, '--container', mode])
    return status === 0 ? stdout : ''
  }

  /** How often each container was started again. */
  async restarts(): Promise<readonly number[]> {
    const { status } = await this.#cluster.get<Pod>('pod', this.name)
    return status.containerStatuses?.map(({ restartCount }) => restartCount) ?? []
  }
}

function summaries(log: string): ReaderSummary[] {
  const lines = log.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as ReaderSummary)
}

function manifest(program: string, name: string, mountPropagation: string): string {
  const container = (mode: ReaderMode): object => ({
    name: mode,
    image: IMAGE,
    imagePullPolicy: 'Never',
    command: [program, '--mode', mode, '--file', '/mnt/dummy-file.txt', '--interval-us', '2000'],
    volumeMounts: [
      { name: 'volume', mountPath: '/mnt', mountPropagation },
      { name: 'program', mountPath: dirname(program), readOnly: true },
    ],
  })
  return claimPod(name, MODES.map(container), [{ name: 'program', hostPath: { path: dirname(program), type: 'Directory' } }])
}

/** A pod of the readers, as YAML. Its containers have the claim of manifests/volume.yaml as `volume`, and these volumes beside it. */
export function claimPod(name: string, containers: readonly object[], volumes: readonly object[] = []): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'readers' } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers,
      volumes: [{ name: 'volume', persistentVolumeClaim: { claimName: 'dummy-fuse-pvc' } }, ...volumes],
    },
  })
}
