import { writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { existsSync, readFileSync } from 'node:fs'
import { CHECKOUT_INSIDE, type Machine } from '../test/support/nspawn.ts'
import { ROOT } from '../test/support/paths.ts'
import { eventually } from '../test/support/wait.ts'
import { stamp } from './peers/peers.ts'

const FILE = '/var/tmp/stamps'
const UNIT = 'stamped.service'

/** What systemd is to start again at once, as it does dummy-fused; it does next to nothing itself, like /bin/true, but stays to be killed. */
const unit = (program: string): string => `[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=${program} ${FILE}
Restart=always
RestartSec=0
`

/** Kills inside a machine, and what its systemd takes to start the least of programs again; times of CLOCK_MONOTONIC in milliseconds. */
export class Stamps {
  readonly #machine: Machine
  readonly #program: string

  private constructor(machine: Machine, program: string) {
    this.#machine = machine
    this.#program = program
  }

  /** Has the unit started in a machine that is on. */
  static async start(machine: Machine): Promise<Stamps> {
    const program = join(CHECKOUT_INSIDE, relative(ROOT, await stamp()))
    const stamps = new Stamps(machine, program)
    writeFileSync(join(machine.root, 'etc/systemd/system', UNIT), unit(program))
    await machine.systemctl('daemon-reload')
    await machine.systemctl('start', UNIT)
    return stamps
  }

  /** Kills the main process of a unit with SIGKILL and returns when. */
  async kill(unit: string): Promise<number> {
    const pid = await this.#machine.property(unit, 'MainPID')
    await this.#machine.output(this.#program, ['--kill', pid, FILE])
    return this.#all().findLast(({ what }) => what === 'kill')?.atMs ?? NaN
  }

  /** From the kill to the next process's first instruction. */
  async restart(): Promise<number> {
    const killed = await this.kill(UNIT)
    return await eventually(`${UNIT} is started again`, () => {
      const again = this.#all().find(({ what, atMs }) => what === 'exec' && atMs > killed)
      return again === undefined ? undefined : again.atMs - killed
    })
  }

  #all(): { what: string; atMs: number }[] {
    const path = join(this.#machine.root, FILE)
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
    return lines.map((line) => {
      const [what = '', ns] = line.split(' ')
      return { what, atMs: Number(ns) / 1e6 }
    })
  }
}
