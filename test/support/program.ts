import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Controller, Node } from '../../src/rpc/csi_pb.ts'
import { outcome, RPC_LIMIT } from './csi-client.ts'
import { ROOT } from './paths.ts'
import { mountCapability, Plugin, type PluginOptions } from './plugin.ts'
import { argumentsOf, type Sandbox } from './sandbox.ts'

/** The example files of docs/programs.md. */
export const EXAMPLES = join(ROOT, 'examples/programs')

/** What a volume of a program is asked for. */
export interface Asked {
  readonly parameters?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
  readonly mountFlags?: readonly string[]
  /** Milliseconds of NodeStageVolume and NodePublishVolume. */
  readonly deadline?: number
}

/** A file for `--program` in a sandbox, which may be one of JSON. */
export function programFile(sandbox: Sandbox, file: object): string {
  const path = join(sandbox.path, 'program.yaml')
  writeFileSync(path, JSON.stringify(file))
  return path
}

/** `serve --program` in a sandbox. */
export async function serveProgram(sandbox: Sandbox, file: string, { args = [], ...options }: PluginOptions = {}): Promise<Plugin> {
  return await Plugin.start(sandbox, { ...options, args: ['--program', file, ...args] })
}

/** A volume of a program, with the calls of a kubelet. The staging directory is made, the target's parent too. */
export class ProgramVolume {
  readonly id: string
  readonly staging: string
  readonly target: string
  readonly #plugin: Plugin
  readonly #asked: Asked

  constructor(sandbox: Sandbox, plugin: Plugin, asked: Asked = {}, id = 'v1') {
    this.id = id
    this.staging = sandbox.directory('kubelet', id, 'globalmount')
    this.target = join(sandbox.directory('pods', id), 'mount')
    this.#plugin = plugin
    this.#asked = asked
  }

  /** NodeStageVolume; resolves to its status and words. */
  async stage(asked: Asked = this.#asked): Promise<{ readonly code: string; readonly details: string }> {
    const { parameters = {}, secrets = {}, mountFlags = [], deadline = RPC_LIMIT } = asked
    const request = {
      volumeId: this.id,
      stagingTargetPath: this.staging,
      volumeCapability: mountCapability('SINGLE_NODE_WRITER', mountFlags),
      volumeContext: parameters,
      secrets,
    }
    return await outcome(this.#plugin.client.call(Node.method.nodeStageVolume, request, deadline))
  }

  async publish(asked: Asked = this.#asked): Promise<{ readonly code: string; readonly details: string }> {
    const { parameters = {}, mountFlags = [], deadline = RPC_LIMIT } = asked
    const request = {
      volumeId: this.id,
      stagingTargetPath: this.staging,
      targetPath: this.target,
      volumeCapability: mountCapability('SINGLE_NODE_WRITER', mountFlags),
      volumeContext: parameters,
    }
    return await outcome(this.#plugin.client.call(Node.method.nodePublishVolume, request, deadline))
  }

  async unpublish(): Promise<{ readonly code: string; readonly details: string }> {
    return await outcome(this.#plugin.unpublish(this.id, this.target))
  }

  async unstage(): Promise<{ readonly code: string; readonly details: string }> {
    return await outcome(this.#plugin.unstage(this.id, this.staging))
  }

  async reasons(): Promise<readonly string[]> {
    return await this.#plugin.reasons(this.id)
  }

  /** CreateVolume; resolves to the volume_context. */
  async create(): Promise<Readonly<Record<string, string>>> {
    const { parameters = {} } = this.#asked
    const request = { name: this.id, parameters, volumeCapabilities: [mountCapability('SINGLE_NODE_WRITER')] }
    const { volume } = await this.#plugin.call(Controller.method.createVolume, request)
    return volume?.volumeContext ?? {}
  }

  /** The process that the plugin's record names as the one that serves the volume. */
  daemon(): number {
    const folder = join(this.#plugin.stateDir, 'programs')
    for (const name of readdirSync(folder)) {
      const { path, processes } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
        path: string
        processes: { pid: number }[]
      }
      const [first] = processes
      if (path === this.staging && first !== undefined) return first.pid
    }
    throw new Error(`no process is recorded for ${this.staging}`)
  }
}

/** What a plugin keeps of programs: the records of sessions, and the private places of volumes. */
export function keptOfPrograms(plugin: Plugin): readonly string[] {
  return ['programs', 'secrets'].flatMap((folder) => {
    try {
      return readdirSync(join(plugin.stateDir, folder)).map((name) => `${folder}/${name}`)
    } catch {
      return []
    }
  })
}

/** Whether a process's command line or environment has a text. */
export function showsToUsers(pid: number, text: string): boolean {
  return argumentsOf(pid).some((word) => word.includes(text))
}
