import { writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { parentOf } from '../../os/processes/child-processes.ts'
import { processesNamed } from '../../os/processes/processes.ts'
import { run } from '../../os/processes/run.ts'
import type { Command, Programs } from '../command.ts'
import { COVER } from '../namespaces.ts'
import { DUMMY_FUSE, MARK, SHIELD, SHIELDED_PROGRAM, SHIELDS } from '../node-paths.ts'
import { runShell } from '../shell.ts'
import { until } from '../wait.ts'
import type { HelperControl, HolderControl } from './harness.ts'
import { isOnNode, killAll, killUntilNone, processesOf, signalAll, stopAll } from './node-processes.ts'
import type { PrivateDaemons } from './private-harness.ts'
import { Replaceable } from './replaceable.ts'

/** Seconds for each step of an upgrade on a busy machine: for the new daemon to serve, and for the old one to answer its requests. */
const UPGRADE_STEP = 60

/** Milliseconds for the whole upgrade. */
const UPGRADE_DEADLINE = 2.5 * UPGRADE_STEP * 1000

/** Has the node a folder of its own for shields: nothing of them is left on the machine's /run, and none of them outlives a power cut. */
const OWN_SHIELDS = `${COVER}
if [ -d ${SHIELDS} ]; then mount -n -t tmpfs -o mode=755 ${MARK} ${SHIELDS}
else cover ${dirname(SHIELDS)} ${basename(SHIELDS)}
fi
`

/** How `serve` runs the daemon of each volume behind a shield. The file is there once {@link ShieldDaemons} has been made. */
export const SHIELD_FLAGS = ['--fuse-host', 'detached', '--program', SHIELDED_PROGRAM] as const

/**
 * dummy-fuse as a foreign daemon behind a shield, which runs below a keeper of its own: three processes for each volume. The daemon, the shield and the keeper here are
 * those of the volume which the failure strikes.
 */
export class ShieldDaemons implements PrivateDaemons {
  readonly helpers: readonly HelperControl[]
  readonly holders: HolderControl
  readonly #shield: Command
  readonly #daemon: Replaceable
  readonly #path: string

  /** Writes the file of {@link SHIELD_FLAGS}. `path`: where the volume is staged. */
  constructor({ shield, fuse }: Pick<Programs, 'shield' | 'fuse'>, path: string) {
    // Both are executed without a name of their own, so a link's name chooses the program.
    this.#shield = new Replaceable(shield, 'shield').command
    this.#daemon = new Replaceable(fuse, 'shielded')
    this.#path = path
    writeFileSync(SHIELDED_PROGRAM, `${JSON.stringify(programFile(this.#shield, this.#daemon.command))}\n`)
    this.helpers = [this.#shieldControl()]
    this.holders = {
      find: async () => {
        await until('the shield has a keeper', () => this.holders.pids().length > 0)
      },
      pids: () => this.#partsNamed(SHIELD.keeper),
      kill: async () => {
        await killAll(this.holders.pids())
        // Until then the session answers, and a pod that comes would get one that ends.
        await until('the shield has ended with its keeper', () => this.#partsNamed(SHIELD.shield).length === 0)
      },
    }
  }

  async pids(): Promise<readonly number[]> {
    return await Promise.resolve(this.#pids)
  }

  /** The plugin starts them. */
  async start(): Promise<void> {
    const { status, output } = await runShell([], OWN_SHIELDS)
    if (status !== 0) throw new Error(`the node cannot have a folder of its own for shields: ${output}`)
  }

  /** The shield starts the next one at once. */
  async kill(): Promise<void> {
    await killAll(this.#pids)
  }

  async upgrade(): Promise<void> {
    this.#daemon.replace()
    const { executable, args } = this.#shield
    const limits = ['--wait', String(UPGRADE_STEP), '--drain', String(UPGRADE_STEP)]
    const words = [...args, 'upgrade', ...limits, this.#path]
    const { status, stderr } = await run(executable, words, UPGRADE_DEADLINE)
    if (status !== 0) throw new Error(`shield upgrade ${this.#path}: exit status ${status}: ${stderr.trim()}`)
  }

  async hang(): Promise<void> {
    await stopAll(this.#pids)
  }

  async resume(): Promise<void> {
    signalAll(this.#pids, 'SIGCONT')
    await Promise.resolve()
  }

  async crash(): Promise<void> {
    await killUntilNone(() => [SHIELD.keeper, SHIELD.shield, DUMMY_FUSE].flatMap(processesOf))
  }

  get #pids(): readonly number[] {
    const shields = this.#partsNamed(SHIELD.shield)
    return processesOf(DUMMY_FUSE).filter((pid) => shields.includes(parentOf(pid) ?? 0))
  }

  /** The processes of a name, the shield's or its keeper's, that were called for the volume. */
  #partsNamed(comm: string): readonly number[] {
    return processesNamed(comm)
      .filter(({ stat, args }) => args.includes(this.#path) && isOnNode(stat.pid))
      .map(({ stat }) => stat.pid)
  }

  #shieldControl(): HelperControl {
    const pids = (): readonly number[] => this.#partsNamed(SHIELD.shield)
    let killed: readonly number[] = []
    return {
      name: SHIELD.shield,
      belongs: 'service',
      pids,
      crash: async () => {
        killed = pids()
        await killAll(killed)
      },
      restarted: async () => {
        const serves = (): boolean => pids().some((pid) => !killed.includes(pid)) && this.#pids.length > 0
        await until('a successor of the shield serves', serves)
      },
    }
  }
}

/** The file of a program whose command is a shield with a daemon behind it. The keys are those of docs/programs.md. */
function programFile(shield: Command, daemon: Command): object {
  const command = [
    ...[shield.executable, ...shield.args].map(literal),
    ...['{target}', '--'],
    // The plugin fills in the shield's placeholders, and the shield those of the daemon.
    ...[daemon.executable, ...daemon.args].map(literal).map(literal),
    ...['-f', literal('{target}')],
  ]
  return { name: DUMMY_FUSE, command }
}

/** A word in which a placeholder stands for itself. */
function literal(word: string): string {
  return word.replaceAll(/[{}]/g, '$&$&')
}
