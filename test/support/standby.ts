import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { connectionsOf } from '../../src/os/mounts/fuse-connections.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import type { FusedProcess } from './fused.ts'
import { endOf } from './mounting.ts'
import { EXECUTABLE } from './paths.ts'
import { type Result, type Running, type Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** A `dummy-fuse-csi standby` of a dummy-fused in a sandbox. */
export class StandbyProcess {
  readonly #running: Running
  readonly #fused: FusedProcess

  private constructor(running: Running, fused: FusedProcess) {
    this.#running = running
    this.#fused = fused
  }

  /** Starts one and resolves once it has the devices of all sessions. */
  static async start(sandbox: Sandbox, fused: FusedProcess, args: readonly string[] = []): Promise<StandbyProcess> {
    const standby = new StandbyProcess(sandbox.start(EXECUTABLE, ['standby', '--state-dir', fused.stateDir, ...args]), fused)
    await eventually(`the standby listens: ${standby.log()}`, () => existsSync(join(fused.stateDir, 'standby.sock')))
    await standby.holdsAll()
    return standby
  }

  get pid(): number {
    return this.#running.pid
  }

  log(): string {
    return this.#running.output()
  }

  /** Resolves once it has the device of each session that the daemon has, and no other. */
  async holdsAll(): Promise<void> {
    await eventually(`the standby holds the devices of all sessions: ${this.log()}`, async () => {
      const { sessions } = await this.#fused.call(Fused.method.list)
      const held = connectionsOf(this.pid)?.toSorted()
      return isDeepStrictEqual(held, sessions.map(({ connection }) => connection).toSorted())
    })
  }

  /** Waits for a line in its log. */
  async logged(line: RegExp): Promise<void> {
    await eventually(`the standby logs ${String(line)}`, () => line.test(this.log()))
  }

  signal(signal: NodeJS.Signals): void {
    this.#running.child.kill(signal)
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<Result> {
    return await endOf(this.#running)
  }
}
