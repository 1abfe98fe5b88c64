import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../support/paths.ts'
import { type Result, type Running, Sandbox } from '../../support/sandbox.ts'
import { eventually } from '../../support/wait.ts'

/** The folder into which scripts/test-kubernetes builds a node’s programs. */
export const PROGRAMS = join(process.env.KUBERNETES ?? join(ROOT, '.cache/kubernetes'), 'bin')

const NODE_SCRIPTS = join(ROOT, 'test/kubernetes/node')

/** The image that `node build.mjs --image` makes. */
const ARCHIVE = join(ROOT, 'dist/dummy-fuse-csi.oci.tar')

/** The reference of that image, by which a pod names it. */
export const IMAGE = 'localhost/dummy-fuse-csi:1.0.0'

/** Milliseconds that a command of a cluster may take. */
const PATIENCE = 180_000

export interface ClusterOptions {
  /** Of every server, by name: `CSIVolumeHealth`. */
  readonly gates?: readonly string[]
  /** How often the kubelet asks for the health of volumes, as Go writes a time: `5s`. */
  readonly healthInterval?: string
}

/** An object of the API, as far as every kind has it. */
interface KubeObject {
  readonly metadata: { readonly name: string; readonly uid: string; readonly creationTimestamp: string }
}

/** A pod, as far as tests look at it. */
export interface Pod extends KubeObject {
  readonly status: {
    readonly phase: string
    readonly containerStatuses?: readonly {
      readonly name: string
      readonly ready: boolean
      readonly restartCount: number
      readonly containerID?: string
    }[]
    readonly volumeHealth?: readonly VolumeHealth[]
  }
}

/** What the kubelet has written of a volume of a pod (gate CSIVolumeHealth). */
interface VolumeHealth {
  readonly name: string
  readonly healthConditions?: readonly { readonly status: string; readonly reason: string; readonly message: string }[]
}

/**
 * A real cluster of one node, which has namespaces of its own: etcd, API server, controllers, scheduler, kubelet, containerd and runc. The image of this
 * checkout is on the node. `await using` it; it ends with all its pods and mounts.
 */
export class Cluster implements AsyncDisposable {
  readonly sandbox: Sandbox
  readonly #work: string

  private constructor(sandbox: Sandbox, work: string) {
    this.sandbox = sandbox
    this.#work = work
  }

  /** Rejects with the words of what did not start. */
  static async start({ gates = [], healthInterval = '1m' }: ClusterOptions = {}): Promise<Cluster> {
    const sandbox = new Sandbox()
    const cluster = new Cluster(sandbox, sandbox.directory('node'))
    try {
      const on = gates.map((gate) => `${gate}=true`).join(',')
      const options = ['--feature-gates', on, '--health-interval', healthInterval]
      await cluster.#script('up', [...options, PROGRAMS, cluster.#work])
      await cluster.loadImage(ARCHIVE)
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  get kubeconfig(): string {
    return join(this.#work, 'etc/admin.conf')
  }

  /** With the node's programs first. */
  get path(): string {
    return `${PROGRAMS}:${process.env.PATH ?? ''}`
  }

  get #env(): NodeJS.ProcessEnv {
    return { ...process.env, KUBECONFIG: this.kubeconfig, PATH: this.path, HOME: this.sandbox.path }
  }

  /** Runs kubectl to its end, however it ends. */
  async tryKubectl(args: readonly string[], input?: string): Promise<Result> {
    return await this.#run(join(PROGRAMS, 'kubectl'), args, input)
  }

  /** Runs kubectl and returns its output. Rejects with its words if it fails. */
  async kubectl(...args: readonly string[]): Promise<string> {
    return right('kubectl', args, await this.tryKubectl(args))
  }

  /** Applies objects: YAML. */
  async apply(yaml: string): Promise<void> {
    right('kubectl', ['apply'], await this.tryKubectl(['apply', '-f', '-'], yaml))
  }

  /** An object of the API. Rejects if it is not there. */
  async get<T>(kind: string, name: string): Promise<T> {
    return JSON.parse(await this.kubectl('get', kind, name, '-o', 'json')) as T
  }

  /** The objects of a kind that a label selector chooses. */
  async list<T>(kind: string, selector: string): Promise<readonly T[]> {
    const list = await this.kubectl('get', kind, '--selector', selector, '-o', 'json')
    return (JSON.parse(list) as { readonly items: readonly T[] }).items
  }

  /** Runs Helm (`helm`, or `helm4`) to its end, however it ends. */
  async tryHelm(program: 'helm' | 'helm4', args: readonly string[]): Promise<Result> {
    return await this.#run(join(PROGRAMS, program), args)
  }

  /** Runs Helm 3 and returns its output. Rejects with its words if it fails. */
  async helm(...args: readonly string[]): Promise<string> {
    return right('helm', args, await this.tryHelm('helm', args))
  }

  /** Runs a command in the node's namespaces and returns its output. Rejects with its words if it fails. */
  async enter(...command: readonly string[]): Promise<string> {
    return right(command[0] ?? '', command.slice(1), await this.tryEnter(...command))
  }

  /** Runs a command in the node's namespaces to its end, however it ends. */
  async tryEnter(...command: readonly string[]): Promise<Result> {
    return await this.#run(join(this.#work, 'enter'), command)
  }

  /** Starts a command in the node's namespaces that is to go on. */
  start(...command: readonly string[]): Running {
    return this.sandbox.start(join(this.#work, 'enter'), command, { env: this.#env })
  }

  /** Gives the node an image of an OCI archive. */
  async loadImage(file: string): Promise<void> {
    await this.enter('load-image', file)
  }

  /**
   * Gives the node an image with one program in its root folder, which is its entry point, and if it is to have a `shell`, with the applets of busybox.
   * The program is one of the node's own (`csi-provisioner`).
   */
  async loadProgram(image: string, program: string, { shell = false }: { readonly shell?: boolean } = {}): Promise<void> {
    const file = join(PROGRAMS, program)
    assert.ok(existsSync(file), `${file} is missing: scripts/test-kubernetes --setup-only builds it`)
    const folder = mkdtempSync(join(this.sandbox.path, 'image-'))
    const root = join(folder, 'root')
    mkdirSync(join(root, 'tmp'), { recursive: true })
    copyFileSync(file, join(root, program))
    if (shell) await this.#addShell(root)
    await this.#script('pack-image', [image, root, join(folder, 'image.tar'), `/${program}`])
    await this.loadImage(join(folder, 'image.tar'))
    rmSync(folder, { recursive: true })
  }

  async #addShell(root: string): Promise<void> {
    mkdirSync(join(root, 'bin'))
    copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
    const applets = right('busybox', ['--list'], await this.sandbox.run('/bin/busybox', ['--list']))
    for (const applet of applets.split('\n').filter((name) => name !== '' && name !== 'busybox'))
      symlinkSync('busybox', join(root, 'bin', applet))
  }

  /** Ends the node as a power cut does, and starts it again on what is on its disk. Resolves when a pod can be started. */
  async cutPower(): Promise<void> {
    await this.#script('cut-power', [this.#work])
    await this.#script('start', [this.#work])
  }

  /** The lines that a server of the node has logged so far and that have a text in them. */
  logLines(server: string, text: string): readonly string[] {
    return readFileSync(join(this.#work, `log/${server}.log`), 'utf8')
      .split('\n')
      .filter((line) => line.includes(text))
  }

  /** The process of the node's PID namespace that runs a container of a pod. */
  async processOf(pod: string, container: string): Promise<number> {
    const { status } = await this.get<Pod>('pod', pod)
    const id = status.containerStatuses?.find(({ name }) => name === container)?.containerID?.replace('containerd://', '')
    if (id === undefined) throw new Error(`pod ${pod} has no container ${container} that runs`)
    const tasks = await this.enter('ctr', 'tasks', 'ls')
    const line = tasks.split('\n').find((task) => task.startsWith(id))
    if (line === undefined) throw new Error(`containerd knows no task ${id}:\n${tasks}`)
    return Number(line.split(/\s+/)[1])
  }

  /** Kills a server of the node (`kubelet`, `containerd`) with SIGKILL, and resolves when its successor runs. */
  async killServer(name: string): Promise<void> {
    const pid = async (): Promise<string> => (await this.enter('cat', `/run/${name}.pid`)).trim()
    const before = await pid()
    await this.enter('kill', '-KILL', before)
    await eventually(`${name} runs again`, async () => (await pid()) !== before)
  }

  /** FUSE mounts of ours on the node, by their mount points. */
  async mounts(): Promise<readonly string[]> {
    const table = await this.enter('cat', '/proc/self/mountinfo')
    return table.split('\n').flatMap((line) => (line.includes(' - fuse.dummy-fuse ') ? [line.split(' ')[4] ?? ''] : []))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const logs = process.env.KUBERNETES_LOGS
    try {
      await this.#script('down', [this.#work, ...(logs === undefined ? [] : [logs])])
    } finally {
      await this.sandbox[Symbol.asyncDispose]()
    }
  }

  async #script(name: string, args: readonly string[]): Promise<void> {
    right(name, args, await this.sandbox.run(join(NODE_SCRIPTS, name), args, { timeout: 900_000 }))
  }

  async #run(file: string, args: readonly string[], input?: string): Promise<Result> {
    const options = { env: this.#env, timeout: PATIENCE }
    return await this.sandbox.run(file, args, input === undefined ? options : { ...options, input })
  }
}

function right(program: string, args: readonly string[], { status, signal, stdout, stderr }: Result): string {
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${String(status ?? signal)}\n${stderr}${stdout}`)
  return stdout
}
