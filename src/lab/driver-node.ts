import type { Command } from './command.ts'
import type { DriverSpec } from './driver/spec.ts'
import { onDriverNode } from './namespaces.ts'
import { NodeCgroup } from './node-cgroup.ts'

/** What the node of a driver needs outside of its namespaces, as the driver's file says. It is disposed of when the node has ended. */
export class DriverNode implements AsyncDisposable {
  readonly #driver: DriverSpec
  readonly #cgroup: NodeCgroup | undefined

  private constructor(driver: DriverSpec, cgroup: NodeCgroup | undefined) {
    this.#driver = driver
    this.#cgroup = cgroup
  }

  /** Rejects with an Error that names the field of the file for which this machine has not what is needed. */
  static async open(driver: DriverSpec): Promise<DriverNode> {
    return new DriverNode(driver, driver.podCgroups ? await NodeCgroup.make() : undefined)
  }

  /** The command that runs another on the node. */
  command(inner: Command): Command {
    return onDriverNode(inner, this.#driver.network, this.#cgroup?.path)
  }

  /** Rejects with an Error that says what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cgroup?.[Symbol.asyncDispose]()
  }
}
