import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { FusedProcess } from './fused.ts'
import { endOf } from './mounting.ts'
import { EXECUTABLE } from './paths.ts'
import { devicesOf, type Result, type Running, type Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** A `dummy-fuse-csi standby` of a dummy-fused in a sandbox. */
export class StandbyProcess {
  readonly #running: Running

  private constructor(running: Running) {
    this.#running = running
  }

  /** Starts one and resolves once it has the devices of all sessions. */
  static async start(sandbox: Sandbox, fused: FusedProcess, args: readonly string[] = []): Promise<StandbyProcess> {
    const standby = new StandbyProcess(sandbox.start(EXECUTABLE, ['standby', '--state-dir', fused.stateDir, ...args]))
    await eventually(`the standby listens: ${standby.log()}`, () => existsSync(join(fused.stateDir, 'standby.sock')))
    await standby.holds((await fused.paths()).length)
    return standby
  }

  get pid(): number {
    return this.#running.pid
  }

  log(): string {
    return this.#running.output()
  }

  /** Resolves once it has so many devices. */
  async holds(count: number): Promise<void> {
    await eventually(`the standby holds ${count} devices: ${this.log()}`, () => devicesOf(this.pid) === count)
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
