import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasListener } from '../src/os/sockets/unix-socket.ts'
import { Fused } from '../src/rpc/fused_pb.ts'
import { CsiClient } from '../test/support/csi-client.ts'
import { layersAt, mount } from '../test/support/mounts.ts'
import { DIST } from '../test/support/paths.ts'
import type { Running, Sandbox } from '../test/support/sandbox.ts'
import { eventually } from '../test/support/wait.ts'
import { atOnce } from './measure.ts'

const DUMMY_FUSED = join(DIST, 'dummy-fused')

/** As many calls as a kubelet has in flight on a busy node. */
export const AT_ONCE = 16

/** A `dummy-fused` in a sandbox. Nobody keeps its sessions: none outlives it. */
export class FusedDaemon {
  readonly socket: string
  readonly #running: Running
  readonly #client: CsiClient

  private constructor(socket: string, running: Running) {
    this.socket = socket
    this.#running = running
    this.#client = new CsiClient(socket)
  }

  /** `by`: a program that executes it, with its arguments. Several in one sandbox have names of their own. */
  static async start(sandbox: Sandbox, name: string, by: readonly string[] = []): Promise<FusedDaemon> {
    if (!existsSync(DUMMY_FUSED)) throw new Error(`not there yet: ${DUMMY_FUSED}`)
    const socket = join(sandbox.path, `${name}-fused.sock`)
    const own = ['--socket', socket, '--state-dir', join(inMemory(sandbox), name)]
    const [file = DUMMY_FUSED, ...args] = [...by, DUMMY_FUSED, ...own]
    const running = sandbox.start(file, args)
    await eventually(`dummy-fused listens; it said: ${running.output()}`, async () => {
      if (running.child.exitCode !== null) throw new Error(`dummy-fused ended with ${running.child.exitCode}: ${running.output()}`)
      return await hasListener(socket)
    })
    return new FusedDaemon(socket, running)
  }

  /** Mounts a session at each of these directories. */
  async mount(paths: readonly string[]): Promise<void> {
    await atOnce(AT_ONCE, paths, (path) => this.#client.call(Fused.method.mount, { path }))
  }

  async unmount(paths: readonly string[]): Promise<void> {
    await atOnce(AT_ONCE, paths, (path) => this.#client.call(Fused.method.unmount, { path }))
  }

  /** How many sessions it lists. */
  async sessions(): Promise<number> {
    return (await this.#client.call(Fused.method.list)).sessions.length
  }

  /** What it keeps in memory (VmRSS), in KB. */
  memory(): number {
    const status = readFileSync(`/proc/${this.#running.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
  }

  /** Ends it with SIGTERM. */
  async stop(): Promise<void> {
    this.#client[Symbol.dispose]()
    this.#running.child.kill('SIGTERM')
    await this.#running.ended
  }
}

/** A tmpfs, as /run is one, where its unit has the daemon keep its records. */
function inMemory(sandbox: Sandbox): string {
  const path = sandbox.directory('run')
  if (layersAt(path).length === 0) mount('-t', 'tmpfs', 'run', path)
  return path
}
