import { createHash } from 'node:crypto'

/** On every object of the lab. */
export const MANAGED_BY = { key: 'app.kubernetes.io/managed-by', value: 'dummy-fuse-csi-lab' } as const

/** On every object of a run: the run's name. */
export const RUN_LABEL = 'dummy-fuse-csi/lab-run'

/** On every object of a cell: the cell's driver. */
export const CELL_LABEL = 'dummy-fuse-csi/lab-cell'

/** What a pod of the lab is. */
export const COMPONENT_LABEL = 'app.kubernetes.io/component'

/** The parts of a cell that are pods, and the agent. */
export type Component = 'plugin' | 'fused' | 'consumer' | 'agent'

/** The name of the agent's pod in the namespace of its run. */
export const AGENT = 'agent'

/** What every run's name begins with. */
export const RUN_PREFIX = 'dummy-fuse-lab-'

/** One cell of a run: a driver of its own, its volumes, and its folders on the node. */
export class CellNames {
  /** The driver's name, with which the names of all objects of the cell begin. */
  readonly driver: string
  /** The run's namespace. */
  readonly run: string
  readonly #kubelet: string

  /** `number`: of the cell in its run. `kubelet`: the kubelet's root folder. */
  constructor(run: string, number: number, kubelet: string) {
    this.run = run
    this.driver = `${run}-${number}`
    this.#kubelet = kubelet
  }

  get labels(): Readonly<Record<string, string>> {
    return { [MANAGED_BY.key]: MANAGED_BY.value, [RUN_LABEL]: this.run, [CELL_LABEL]: this.driver }
  }

  /** The plugin's folder on the node: its socket and its state. */
  get pluginFolder(): string {
    return `${this.#kubelet}/plugins/${this.driver}`
  }

  get pluginSocket(): string {
    return `${this.pluginFolder}/csi.sock`
  }

  /** The folder of dummy-fused on the node. */
  get fusedFolder(): string {
    return `${this.#kubelet}/plugins/${this.driver}-fused`
  }

  get fusedSocket(): string {
    return `${this.fusedFolder}/fused.sock`
  }

  /** The folder in which the kubelet stages the volumes of the driver. */
  get stagingFolder(): string {
    return `${this.#kubelet}/plugins/kubernetes.io/csi/${this.driver}`
  }

  /** The folders that the cell leaves on the node. */
  get folders(): readonly string[] {
    return [this.pluginFolder, this.fusedFolder, this.stagingFolder]
  }

  /** The volume's PersistentVolume, its claim, and its handle. */
  volume(which: 'struck' | 'neighbour'): string {
    return `${this.driver}-${which}`
  }

  /** Where the kubelet stages a volume (kubernetes pkg/volume/csi, makeDeviceMountPath). */
  staging(which: 'struck' | 'neighbour'): string {
    return `${this.stagingFolder}/${createHash('sha256').update(this.volume(which)).digest('hex')}/globalmount`
  }

  /** Where the kubelet publishes a volume for a pod (kubernetes pkg/volume/csi, GetPath). */
  target(podUid: string, which: 'struck' | 'neighbour'): string {
    return `${this.#kubelet}/pods/${podUid}/volumes/kubernetes.io~csi/${this.volume(which)}/mount`
  }

  /** What the mount points of the cell's volumes have in them. */
  get mountTexts(): readonly string[] {
    return [`/csi/${this.driver}/`, `~csi/${this.driver}-`]
  }
}
