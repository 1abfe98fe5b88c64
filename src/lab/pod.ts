import { randomUUID } from 'node:crypto'
import type { Volume } from './kubelet.ts'
import type { ProcessLog } from './process-log.ts'
import type { StartedProcess } from './started-process.ts'

/** A pod with one container that reads a file of one volume. */
export interface PodSpec {
  readonly name: string
  readonly volume: Volume
  /** What is at /mnt: the volume, or the node's folder in which the volume is mounted, as a hostPath volume brings it in. */
  readonly mounts: 'volume' | 'folder above'
  /** Kubernetes' mountPropagation: None is a private mount, HostToContainer a slave of the node's. */
  readonly propagation: 'None' | 'HostToContainer'
  /** The file that is read, below the volume; the dummy file if not given. */
  readonly file?: string
  /** The workload's flags beside --file. */
  readonly flags: readonly string[]
}

/** A pod on the node; its log goes on over its containers. */
export class Pod {
  readonly spec: PodSpec
  readonly uid = randomUUID()
  readonly log: ProcessLog
  /** The last one that was started, ended or not. */
  container: StartedProcess | undefined

  constructor(spec: PodSpec, log: ProcessLog) {
    this.spec = spec
    this.log = log
  }

  get name(): string {
    return this.spec.name
  }

  /** Where the volume is in the container. */
  get volumePath(): string {
    return this.spec.mounts === 'volume' ? '/mnt' : '/mnt/mount'
  }

  /** The file that the workload reads. */
  get file(): string {
    return `${this.volumePath}/${this.spec.file ?? 'dummy-file.txt'}`
  }
}
