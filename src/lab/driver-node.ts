import type { Command } from './command.ts'
import type { DriverSpec } from './driver/spec.ts'
import { messageOf } from '../errors.ts'
import { Machine } from './machine.ts'
import { onDriverNode, onMachineNode } from './namespaces.ts'
import { NodeCgroup } from './node-cgroup.ts'
import { LAYERS_INSIDE } from './nspawn.ts'

/** What the node of a driver needs outside of its namespaces, as the driver's file says. It is disposed of when the node has ended. */
export class DriverNode implements AsyncDisposable {
  readonly #driver: DriverSpec
  readonly #machine: Machine | undefined
  readonly #cgroup: NodeCgroup | undefined

  private constructor(driver: DriverSpec, machine: Machine | undefined, cgroup: NodeCgroup | undefined) {
    this.#driver = driver
    this.#machine = machine
    this.#cgroup = cgroup
  }

  /**
   * `folder`: for the machine's files. Rejects with an Error that names the field of the file for which this machine has not what is needed.
   */
  static async open(driver: DriverSpec, folder: string): Promise<DriverNode> {
    // A machine has cgroups of its own.
    if (driver.systemd) return new DriverNode(driver, await boot(driver, folder), undefined)
    return new DriverNode(driver, undefined, driver.podCgroups ? await NodeCgroup.make() : undefined)
  }

  /** The command that runs another on the node. */
  command(inner: Command): Command {
    if (this.#machine !== undefined) return onMachineNode(inner, this.#machine.enter, LAYERS_INSIDE)
    return onDriverNode(inner, this.#driver.network, this.#cgroup?.path)
  }

  /** Rejects with an Error that says what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine?.[Symbol.asyncDispose]()
    await this.#cgroup?.[Symbol.asyncDispose]()
  }
}

async function boot({ network }: DriverSpec, folder: string): Promise<Machine> {
  try {
    return await Machine.bootForDriver(folder, network)
  } catch (error) {
    throw new Error(
      `systemd: the lab cannot boot a machine for the driver: ${messageOf(error)}; install systemd-container and dbus, or leave systemd out of the driver's file`,
      { cause: error },
    )
  }
}
